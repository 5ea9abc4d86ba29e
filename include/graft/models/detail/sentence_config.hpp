#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/models/detail/text_limits.hpp"
#include "graft/retrieval/document.hpp"

namespace graft::detail {

/// In the order in which several are laid side by side.
enum class PoolingMode { cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken };

inline constexpr std::array<std::string_view, 6> pooling_names{
    "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};

/// What the JSON files of a sentence-transformers directory say. Weights and encoder are not looked at.
struct SentenceConfig {
  struct Layer {
    std::string kind;                 ///< Dense, LayerNorm or Normalize
    std::filesystem::path directory;  ///< of its config.json and weights
  };

  std::filesystem::path encoder;                         ///< directory of its config.json, weights and tokenizer
  std::optional<std::size_t> max_tokens = {};            ///< as stated for this use of the encoder
  std::optional<std::size_t> tokenizer_max_tokens = {};  ///< as tokenizer_config.json states it
  bool lower_case = false;
  std::vector<PoolingMode> pooling = {};
  std::optional<std::int64_t> pooled_width = {};  ///< width of one mode
  bool pool_prompt = true;                        ///< whether the prompt's tokens are pooled too
  std::vector<Layer> layers = {};
  std::vector<std::filesystem::path> files = {};  ///< that say how encoder, pooling and layers are used
  std::map<std::string, std::string> prompts = {};
  Metric metric = Metric::cosine;
  std::optional<std::int64_t> truncated_width = {};  ///< how many numbers of a vector are kept

  /// Throws FileError if modules.json cannot be read, FormatError naming file and field for what graft does not have.
  static SentenceConfig read(const std::filesystem::path& directory);
};

/// Throws FormatError naming all members of `fields` that are not `known`.
inline void refuse_others(const JsonFields& fields, std::span<const std::string_view> known) {
  std::string others;
  for (const auto& [name, value] : fields.json().items())
    if (std::find(known.begin(), known.end(), name) == known.end())
      others += (others.empty() ? "" : ", ") + quoted(name);
  if (!others.empty())
    throw FormatError(message(fields.where(), ": graft does not know ", others,
                              ", which may change the vectors; if not, take it out"));
}

/// Throws FormatError unless the member is absent, null or empty.
inline void refuse_unless_empty(const JsonFields& fields, std::string_view name) {
  if (fields.has(name) && !fields.value(name).empty()) fields.fail(name, "absent or empty; graft has no use for it");
}

/// Throws FormatError if a module reads or writes anything but the vector of the text.
inline void check_places(const JsonFields& fields) {
  for (const auto* name : {"module_input_name", "module_output_name"})
    if (fields.text(name, "sentence_embedding") != "sentence_embedding")
      fields.fail(name, "\"sentence_embedding\"; graft's modules follow each other");
}

class SentenceConfigReader {
 public:
  explicit SentenceConfigReader(const std::filesystem::path& directory) : directory_(directory) {}

  SentenceConfig read() {
    read_modules();
    read_encoder_type();
    read_encoder_use();
    config_.tokenizer_max_tokens = tokenizer_limit(config_.encoder);
    read_pooling();
    read_texts();
    config_.files.push_back(pooling_ / "config.json");
    for (const auto& layer : config_.layers) config_.files.push_back(layer.directory / "config.json");
    return std::move(config_);
  }

 private:
  void read_modules() {
    const std::filesystem::path path = directory_ / "modules.json";
    if (!std::filesystem::exists(path))
      throw FileError(message(path.native(), ": there is no such file; name a sentence-transformers directory"));
    const Json modules = read_json(path);
    if (!modules.is_array() || modules.empty() || modules.size() > 64)
      throw FormatError(
          message(path.native(), ": is ", described(modules), ", but must be an array of 1 to 64 modules"));
    for (std::size_t i = 0; i < modules.size(); ++i)
      add_module(JsonFields(modules[i], message(path.native(), ": module ", i)), i);
    if (modules.size() < 2) throw FormatError(message(path.native(), ": has no Pooling after its Transformer"));
  }

  void add_module(const JsonFields& module, std::size_t place) {
    refuse_others(module, std::array<std::string_view, 5>{"idx", "name", "path", "type", "kwargs"});
    refuse_unless_empty(module, "kwargs");
    const std::string type = module.text("type");
    const std::string kind = type.substr(type.rfind('.') + 1);
    const bool ours = type.starts_with("sentence_transformers.");
    if (place == 0) {
      if (!ours || kind != "Transformer") module.fail("type", "a sentence_transformers Transformer, as the first must");
      config_.encoder = place_of(module);
    } else if (place == 1) {
      if (!ours || kind != "Pooling") module.fail("type", "a sentence_transformers Pooling, as the second must");
      pooling_ = place_of(module);
    } else {
      if (!ours || (kind != "Dense" && kind != "LayerNorm" && kind != "Normalize"))
        module.fail("type",
                    "a sentence_transformers Dense, LayerNorm or Normalize; graft has no other after the Pooling");
      config_.layers.push_back({kind, place_of(module)});
    }
  }

  std::filesystem::path place_of(const JsonFields& module) const {
    const std::filesystem::path path = module.text("path", "");
    const bool leaves = path.has_root_path() || std::find(path.begin(), path.end(), "..") != path.end();
    if (leaves) module.fail("path", "a folder within the directory");
    return path.empty() ? directory_ : directory_ / path;
  }

  void read_encoder_type() const {
    const std::filesystem::path path = config_.encoder / "config.json";
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    const std::string type = fields.text("model_type");
    if (type != "bert" && type != "roberta" && type != "mpnet")
      fields.fail("model_type", "\"bert\", \"roberta\" or \"mpnet\"; graft has no encoder of another type");
  }

  /// sentence_bert_config.json, under any of the names it had.
  void read_encoder_use() {
    for (const auto* kind : {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
      const std::filesystem::path path = config_.encoder / (std::string("sentence_") + kind + "_config.json");
      if (!std::filesystem::exists(path)) continue;
      const Json json = read_json(path);
      read_encoder_use(JsonFields(json, path.native()));
      config_.files.push_back(path);
      return;
    }
  }

  void read_encoder_use(const JsonFields& fields) {
    constexpr std::array<std::string_view, 6> arguments{"model_args",   "tokenizer_args",   "config_args",
                                                        "model_kwargs", "processor_kwargs", "config_kwargs"};
    constexpr std::array<std::string_view, 5> others{"processing_kwargs", "query_length", "document_length",
                                                     "query_expansion", "tokenizer_name_or_path"};
    std::vector<std::string_view> known{"max_seq_length",  "do_lower_case",      "transformer_task",
                                        "modality_config", "module_output_name", "unpad_inputs"};
    known.insert(known.end(), arguments.begin(), arguments.end());
    known.insert(known.end(), others.begin(), others.end());
    refuse_others(fields, known);
    for (const auto& name : arguments) refuse_unless_empty(fields, name);
    for (const auto& name : others) refuse_unless_empty(fields, name);
    if (fields.has("max_seq_length"))
      config_.max_tokens = static_cast<std::size_t>(fields.integer("max_seq_length", 1, std::int64_t{1} << 31));
    config_.lower_case = fields.boolean("do_lower_case", false);
    if (fields.text("transformer_task", "feature-extraction") != "feature-extraction")
      fields.fail("transformer_task", "\"feature-extraction\"");
    if (fields.text("module_output_name", "token_embeddings") != "token_embeddings")
      fields.fail("module_output_name", "\"token_embeddings\"");
    static const Json plain = {{"text", {{"method", "forward"}, {"method_output_name", "last_hidden_state"}}}};
    if (fields.has("modality_config") && fields.value("modality_config") != plain)
      fields.fail("modality_config", plain.dump() + ", which is all that graft has");
  }

  void read_pooling() {
    const std::filesystem::path path = pooling_ / "config.json";
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    // In the order of PoolingMode.
    constexpr std::array<std::string_view, 6> flags{
        "pooling_mode_cls_token",           "pooling_mode_max_tokens",
        "pooling_mode_mean_tokens",         "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};
    std::vector<std::string_view> known{"embedding_dimension", "word_embedding_dimension", "pooling_mode",
                                        "include_prompt"};
    known.insert(known.end(), flags.begin(), flags.end());
    refuse_others(fields, known);
    if (fields.has("pooling_mode")) {
      const Json& modes = fields.value("pooling_mode");
      if (modes.is_string())
        add_mode(fields, fields.text("pooling_mode"));
      else
        for (const std::string& mode : fields.texts("pooling_mode")) add_mode(fields, mode);
    } else {
      for (std::size_t i = 0; i < flags.size(); ++i)
        if (fields.boolean(flags[i], false)) config_.pooling.push_back(static_cast<PoolingMode>(i));
    }
    if (config_.pooling.empty()) config_.pooling = {PoolingMode::mean};
    if (config_.pooling.size() > 6) fields.fail("pooling_mode", "at most 6 modes");
    for (const auto* name : {"embedding_dimension", "word_embedding_dimension"})
      if (fields.has(name)) config_.pooled_width = fields.integer(name, 1, 1 << 20);
    config_.pool_prompt = fields.boolean("include_prompt", true);
  }

  void add_mode(const JsonFields& fields, std::string_view name) {
    const auto found = std::find(pooling_names.begin(), pooling_names.end(), name);
    if (found == pooling_names.end()) {
      std::string all;
      for (const std::string_view known : pooling_names) all += (all.empty() ? "" : ", ") + std::string(known);
      fields.fail("pooling_mode", "one or a list of " + all);
    }
    config_.pooling.push_back(static_cast<PoolingMode>(found - pooling_names.begin()));
  }

  /// config_sentence_transformers.json: what is done with texts and vectors.
  void read_texts() {
    const std::filesystem::path path = directory_ / "config_sentence_transformers.json";
    if (!std::filesystem::exists(path)) return;
    const Json json = read_json(path);
    const JsonFields fields(json, path.native());
    if (fields.text("model_type", "SentenceTransformer") != "SentenceTransformer")
      fields.fail("model_type", "\"SentenceTransformer\"");
    if (fields.has("prompts")) {
      const JsonFields prompts = fields.object("prompts");
      for (const auto& [name, text] : prompts.json().items()) config_.prompts.emplace(name, prompts.text(name, ""));
    }
    if (fields.has("truncate_dim")) config_.truncated_width = fields.integer("truncate_dim", 1, 1 << 20);
    const std::string similarity = fields.text("similarity_fn_name", "cosine");
    if (similarity == "dot")
      config_.metric = Metric::inner_product;
    else if (similarity == "euclidean")
      config_.metric = Metric::euclidean;
    else if (similarity != "cosine")
      fields.fail("similarity_fn_name", "\"cosine\", \"dot\" or \"euclidean\"");
  }

  std::filesystem::path directory_, pooling_;
  SentenceConfig config_;
};

inline SentenceConfig SentenceConfig::read(const std::filesystem::path& directory) {
  return SentenceConfigReader(directory).read();
}

}  // namespace graft::detail
