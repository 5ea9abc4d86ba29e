#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "graft/adapters/adaptable.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/tensor/state.hpp"

namespace graft {

/// A layer and its adapter, to be written.
struct AdaptedLayer {
  std::string path;
  const Adaptable* layer;
  const LayerAdapter* adapter;
};

/// What a directory will hold of one kind of adapter. A kind fills it in.
struct AdapterWriter {
  std::vector<AdaptedLayer> layers;  ///< of the kind, in the model's order
  AdapterConfig config = {};         ///< targets are there; the kind says the rest of what it is
  NamedTensors tensors = {};         ///< by their names in the model: "query.lora_A.weight"

  /// A tensor of one layer, by its name behind the layer's.
  void put(const AdaptedLayer& layer, const std::string& key, const torch::Tensor& tensor) {
    tensors.emplace_back(layer.path + "." + key, tensor);
  }
  /// One of no layer: PEFT calls it "base_model." and the name.
  void put_whole(std::string_view name, const torch::Tensor& tensor);
  std::vector<std::string> paths() const;
};

class AdapterReader;

/// What an adapter's directory has for one layer of a model. A name is one behind the layer's: "lora_A.weight".
class LayerReader {
 public:
  const std::string& path() const { return path_; }
  const Adaptable& layer() const { return *layer_; }
  bool targeted() const { return targeted_; }  ///< whether the config's targets take it

  /// nullptr if the file has no such tensor; one that was asked for is not superfluous.
  const TensorInfo* find(const std::string& key) const;
  /// Whether all are there; each that is not is a fault.
  bool require(const std::vector<std::string>& keys) const;
  /// The tensor in the type and on the device of the layer's adapters. A tensor of another shape or of a type that does
  /// not convert is a fault, and the result undefined.
  torch::Tensor read(const std::string& key, torch::IntArrayRef shape) const;
  /// The layer gets this adapter.
  void put(std::shared_ptr<LayerAdapter> adapter) const;
  void fault(std::string text) const;

 private:
  friend class AdapterReader;
  LayerReader(AdapterReader& all, std::string path, Adaptable* layer, bool targeted)
      : all_(&all), path_(std::move(path)), layer_(layer), targeted_(targeted) {}

  AdapterReader* all_;
  std::string path_;
  Adaptable* layer_;
  bool targeted_;
};

/// How PEFT's files have one kind of adapter.
class AdapterKind {
 public:
  virtual ~AdapterKind() = default;

  virtual std::string peft_type() const = 0;  ///< of the config: "LORA"
  virtual std::string title() const = 0;      ///< in messages: "LoRA"

  /// Whether it comes beside another kind of the same peft_type, never alone, and is not of the targets.
  virtual bool beside() const { return false; }

  /// Whether a directory with this config has layers of the kind.
  virtual bool in(const AdapterConfig& config) const { return config.peft_type == peft_type(); }

  /// The fields of AdapterConfig::fields that it understands; any other that asks for something is refused.
  virtual std::vector<std::string> fields() const { return {}; }

  /// Throws OptionError if the layers differ in what a file has room for once.
  virtual void write(AdapterWriter& out) const = 0;

  /// Gives layers their adapters. What is amiss goes to fault() of reader or layer, all before anything is thrown.
  virtual void read(AdapterReader& in) const = 0;
};

/// The kinds that a file may name. The order counts: a layer that got an adapter is not shown to those that follow.
using AdapterKinds = std::vector<const AdapterKind*>;

/// Reads an adapter's directory against a model: what would be attached, and where each tensor goes. The model is not
/// changed.
class AdapterReader {
 public:
  /// Throws FormatError that lists every fault.
  AdapterReader(const AdapterDir& directory, torch::nn::Module& module, const AdapterKinds& kinds);

  const AdapterConfig& config() const { return directory_.config(); }
  std::string where() const { return directory_.path().string(); }  ///< for errors
  /// Layers that have no adapter so far, in the model's order.
  std::vector<LayerReader> layers();
  /// A tensor of no layer, by PEFT's name less "base_model.", as it is; undefined if it is not there.
  torch::Tensor read_whole(std::string_view name);
  void fault(std::string text) { other_.push_back(std::move(text)); }
  /// What is odd and no fault.
  void warn(std::string text) { warnings_.push_back(std::move(text)); }
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// One adapter for each layer, by path.
  const std::map<std::string, std::shared_ptr<LayerAdapter>>& adapters() const { return adapters_; }
  const std::vector<std::string>& heads() const { return heads_; }
  const std::vector<std::string>& biases() const { return biases_; }
  const std::vector<std::string>& weights() const { return weights_; }
  /// Parameters of the model itself, heads included, and what they become.
  const std::vector<std::pair<torch::Tensor, torch::Tensor>>& base_tensors() const { return base_tensors_; }

 private:
  friend class LayerReader;
  std::vector<std::string> warnings_;
  const TensorInfo* take(const std::string& name);
  bool fits(const TensorInfo& tensor, torch::IntArrayRef shape, torch::ScalarType type);
  bool read_base(const std::string& key, const torch::Tensor& target);
  void read_kinds(const AdapterKinds& kinds);
  void read_heads();
  void read_biases();
  void read_weights();
  void fail_if_faulty();

  const AdapterDir& directory_;
  torch::nn::Module& module_;
  std::vector<std::tuple<std::string, Adaptable*, bool>> layers_;  // and whether targeted
  std::map<std::string, std::shared_ptr<LayerAdapter>> adapters_;
  std::vector<std::string> heads_, biases_, weights_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> base_tensors_;
  std::set<std::string> used_;
  std::vector<std::string> missing_, extra_, misshapen_, mistyped_, other_;
  bool any_target_ = false;
};

/// Everything that a directory will hold of the adapter called `name`, heads and biases aside; `heads` are not among
/// its targets. Throws OptionError if one directory cannot hold it.
AdapterWriter written_adapter(torch::nn::Module& module, const std::string& name,
                              const std::vector<std::string>& heads);

namespace detail {

bool within_any(std::string_view name, const std::vector<std::string>& modules);

/// Modules that PEFT takes for those of modules_to_save: every one whose path ends with a name, letter by letter.
std::vector<std::string> saved_modules(torch::nn::Module& module, const std::vector<std::string>& names);

/// The tensors of a head, named by their paths in the model.
NamedTensors head_tensors(torch::nn::Module& module, const std::vector<std::string>& heads);

/// A base's bias in an adapter's file.
std::string bias_key(const std::string& name, const std::set<std::string>& adapted);

/// Whether it comes beside the adapters that files take for their targets.
bool is_beside(const LayerAdapter& adapter);

/// The stored values, in memory.
torch::Tensor stored_tensor(const AdapterDir& directory, const TensorInfo& info);

/// Tensors as write_adapter_dir() wants them, and what keeps their bytes.
struct StoredBytes {
  explicit StoredBytes(const NamedTensors& tensors);
  std::vector<torch::Tensor> kept;
  std::vector<TensorBytes> bytes;
};

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/kind-inl.hpp"
#endif
