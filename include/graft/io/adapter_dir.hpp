#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/core/ordered_map.hpp"
#include "graft/io/safetensors.hpp"

namespace graft {

/// Modules as PEFT names them: by `names`, each a module's path or its last parts, or by one `pattern`, a regular
/// expression over the whole path (see RegularExpression) or "all-linear".
struct ModuleNames {
  std::vector<std::string> names = {};
  std::string pattern = {};

  bool empty() const { return names.empty() && pattern.empty(); }
  bool operator==(const ModuleNames&) const = default;
};

/// Which biases PEFT trains beside the adapter: none, all of the model's, or those of the adapted layers (in files of
/// another kind than LoRA that kind's name stands there: "vera_only").
enum class AdapterBias { none, all, lora_only };

/// adapter_config.json of an adapter, each member under its name there and with PEFT's default. What PEFT knows of LORA
/// and IA3 and graft does not (such as layer_replication) has no member: a file that asks for it is refused. Other
/// kinds have their own fields in `fields`.
struct AdapterConfig {
  std::string peft_type = "LORA";                           ///< the kind; LORA with use_dora is DoRA
  std::optional<std::string> base_model_name_or_path = {};  ///< a label: no path is ever opened because of it
  std::optional<std::string> revision = {};
  /// SEQ_CLS, SEQ_2_SEQ_LM, CAUSAL_LM, TOKEN_CLS, QUESTION_ANS or FEATURE_EXTRACTION.
  std::optional<std::string> task_type = {};
  Json auto_mapping = nullptr;          ///< kept as it is
  std::string peft_version = "0.21.2";  ///< whose files these are
  bool inference_mode = true;

  std::int64_t r = 8;       ///< rank, 1 to 1,000,000
  double lora_alpha = 8;    ///< the update is multiplied by lora_alpha / r, or / sqrt(r) with use_rslora; 0 to 10^9
  double lora_dropout = 0;  ///< in [0, 1)
  bool use_rslora = false;
  bool use_dora = false;
  bool lora_bias = false;  ///< a bias on B
  AdapterBias bias = AdapterBias::none;
  bool fan_in_fan_out = false;  ///< the base stores its weights [in, out]
  /// "true", "false", "gaussian", "orthogonal", "eva" or "mica": those that leave the base as it is.
  std::string init_lora_weights = "true";
  Json eva_config = nullptr;  ///< kept as it is

  ModuleNames target_modules = {};
  ModuleNames exclude_modules = {};
  std::vector<std::string> modules_to_save = {};                      ///< trained in full and stored, such as heads
  std::optional<std::vector<std::int64_t>> layers_to_transform = {};  ///< only these layer numbers
  std::vector<std::string> layers_pattern = {};  ///< names of the list of layers, with layers_to_transform
  /// Regular expression for the last parts of a path -> its r. Of several that match, the first in byte order counts:
  /// PEFT takes the first in the file, and writes them in that order.
  OrderedMap<std::int64_t> rank_pattern = {};
  OrderedMap<double> alpha_pattern = {};  ///< the same for lora_alpha
  /// Embedding -> rows that are trained; the name "" is the input embedding.
  std::map<std::string, std::vector<std::int64_t>> trainable_token_indices = {};

  // Of IA3, which has no member of LoRA's but fan_in_fan_out and those that name modules.
  ModuleNames feedforward_modules = {};  ///< of target_modules, those whose inputs are scaled
  bool init_ia3_weights = true;          ///< whether the factors started at 1

  /// Of a kind that is neither LORA nor IA3: its fields that are no members here, as they are. Of LoRA's members it has
  /// bias, layers_to_transform and layers_pattern.
  Json fields = Json::object();

  bool operator==(const AdapterConfig&) const = default;
};

/// The config that `json` holds; `where` names it in errors. Throws one FormatError that lists every field with a wrong
/// value and every field, known to graft or not, that asks for something graft does not do. "peft_type" must be there,
/// other fields may lack.
AdapterConfig parse_adapter_config(const Json& json, const std::string& where);

/// All fields, as PEFT 0.21 writes them: json_text() of it is the file's content. Throws OptionError for a config that
/// parse_adapter_config() would refuse.
Json adapter_config_json(const AdapterConfig& config);

/// A tensor's name in an adapter's file: "base_model.model." and the name in the model; a name that starts with
/// "base_model." is of no layer and stays as it is. PEFT leaves the adapter's own name out.
std::string adapter_tensor_name(std::string_view name);

/// An adapter's directory as PEFT lays it out, open for reading: adapter_config.json and adapter_model.safetensors.
/// What names and shapes mean for a model is not looked at here. adapter_model.bin, a pickle, is never read.
/// Threads: read() may run on many at once.
class AdapterDir {
 public:
  /// Throws FileError if the directory or a file is not there, FormatError if one breaks its format or two tensors have
  /// one name.
  explicit AdapterDir(std::filesystem::path path, const SafetensorsLimits& limits = {});

  const std::filesystem::path& path() const { return path_; }
  const AdapterConfig& config() const { return config_; }

  /// Sorted by name, the names without "base_model.model.": "encoder.layer.0.attention.self.query.lora_A.weight".
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// nullptr if there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// Fills `bytes` with one of tensors(); see SafetensorsFile::read().
  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const { file_.read(tensor, bytes); }

  /// Of the safetensors file.
  const std::map<std::string, std::string>& metadata() const { return file_.metadata(); }

  /// What other tools do that PEFT does not: names without the prefix, taken as they are.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  static std::filesystem::path weights_of(const std::filesystem::path& directory);

  std::filesystem::path path_;
  SafetensorsFile file_;
  AdapterConfig config_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::string> warnings_;
};

namespace detail {

/// Whether a field with this value asks for nothing, whatever it is called.
bool asks_nothing(const Json& value);

}  // namespace detail

struct AdapterDirOptions {
  std::map<std::string, std::string> metadata = {};  ///< beside "format": "pt"
  bool replace = false;                              ///< whether one that graft wrote there may be replaced
};

/// Writes a directory that AdapterDir and PEFT read; the names of `tensors` are those in the model. It appears whole or
/// not at all. Throws OptionError as adapter_config_json(), write_safetensors() and OutputDirectory do, FileError where
/// the system refuses.
void write_adapter_dir(const std::filesystem::path& destination, const AdapterConfig& config,
                       std::span<const TensorBytes> tensors, const AdapterDirOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/adapter_dir-inl.hpp"
#endif
