#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "graft/adapters/parameters.hpp"
#include "graft/adapters/save.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft {
namespace detail {

inline bool within_any(std::string_view name, const std::vector<std::string>& modules) {
  return std::any_of(modules.begin(), modules.end(), [&](const std::string& module) { return within(name, module); });
}

/// Paths of the outermost modules whose own and inner parameters are all trained, adapters aside, and of the usual
/// heads.
inline std::vector<std::string> trained_modules(torch::nn::Module& module) {
  const auto factors = factor_tensors(module);
  std::vector<std::string> heads;
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    if (within_any(child.key(), heads)) continue;
    std::size_t own = 0;
    std::size_t trained = 0;
    for (const torch::Tensor& parameter : child.value()->parameters()) {
      if (factors.count(parameter.unsafeGetTensorImpl())) continue;
      ++own;
      trained += parameter.requires_grad() ? 1 : 0;
    }
    const bool usual = matches_suffix(child.key(), "classifier") || matches_suffix(child.key(), "score") ||
                       matches_suffix(child.key(), "qa_outputs");
    if (own > 0 && (trained == own || usual)) heads.push_back(child.key());
  }
  return heads;
}

/// The tensors of a head, named by their paths in the model.
inline NamedTensors head_tensors(torch::nn::Module& module, const std::vector<std::string>& heads) {
  NamedTensors tensors = base_tensors(module);
  std::erase_if(tensors, [&](const auto& named) {
    return std::none_of(heads.begin(), heads.end(),
                        [&](const std::string& head) { return named.first.starts_with(head + "."); });
  });
  return tensors;
}

/// The last parts of the layers' paths if they name exactly these layers, else the paths.
inline std::vector<std::string> target_names(torch::nn::Module& module, const std::vector<std::string>& layers,
                                             const std::vector<std::string>& heads) {
  std::set<std::string> endings;
  for (const std::string& layer : layers) endings.emplace(last_parts(layer, 1));
  std::size_t taken = 0;
  for (const TargetCandidate& candidate : target_candidates(module)) {
    const bool named = endings.count(std::string(last_parts(candidate.name, 1))) > 0;
    if (candidate.adaptable && named && !within_any(candidate.name, heads)) ++taken;
  }
  if (taken == layers.size()) return {endings.begin(), endings.end()};
  return layers;
}

/// A regular expression that matches this path and no other.
inline std::string exact_pattern(std::string_view path) {
  std::string pattern = "^";
  for (const char c : path) {
    if (c == '.') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

/// Whether a key of rank_pattern or alpha_pattern takes `path`, as PEFT's `(.*\.)?(key)$` would, for keys that are a
/// path or its last parts; nothing for a key that needs a regular expression to be understood.
inline std::optional<bool> pattern_takes(std::string_view key, std::string_view path) {
  const bool whole = key.starts_with('^');
  if (whole) key.remove_prefix(1);
  if (key.ends_with('$')) key.remove_suffix(1);
  std::string literal;
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '\\' && i + 1 < key.size() && key[i + 1] == '.') ++i;
    if (std::string_view("\\^$*+?()[]{}|").find(key[i]) != std::string_view::npos) return std::nullopt;
    literal += key[i];
  }
  return whole ? path == literal : matches_suffix(path, literal);
}

template <class Value>
Value most_common(const std::vector<Value>& values) {
  return *std::max_element(values.begin(), values.end(), [&](const Value& a, const Value& b) {
    return std::count(values.begin(), values.end(), a) < std::count(values.begin(), values.end(), b);
  });
}

/// Reads an adapter's directory against a model: what would be attached, and where each tensor goes.
class AdapterReader {
 public:
  AdapterReader(const AdapterDir& directory, torch::nn::Module& module) : directory_(directory), module_(module) {
    const auto layers = adaptable_layers(module);
    refuse_settings();
    find_heads();
    for (const auto& [path, layer] : layers) read_layer(path, *layer);
    for (const TensorInfo& tensor : directory.tensors()) {
      if (!used_.count(tensor.name)) extra_.push_back(quoted(tensor.name));
    }
    if (adapters_.empty()) other_.push_back("it holds no adapter for any layer of the model");
    fail_if_faulty();
  }

  struct Factors {
    const TensorInfo* A;
    const TensorInfo* B;
    LoraOptions options;
  };
  const std::map<std::string, Factors>& adapters() const { return adapters_; }
  const std::vector<std::string>& heads() const { return heads_; }
  const std::vector<std::pair<torch::Tensor, const TensorInfo*>>& head_tensors() const { return head_tensors_; }

 private:
  const TensorInfo* take(const std::string& name) {
    const TensorInfo* tensor = directory_.find(name);
    if (tensor) used_.insert(name);
    return tensor;
  }

  bool fits(const TensorInfo& tensor, torch::IntArrayRef shape, torch::ScalarType type) {
    const auto stored = find_scalar_type(tensor.type);
    if (shape != torch::IntArrayRef(tensor.shape)) {
      misshapen_.push_back(message(quoted(tensor.name), " is ", torch::IntArrayRef(tensor.shape), ", not ", shape));
    } else if (!stored || !convertible(*stored, type)) {
      mistyped_.push_back(message(quoted(tensor.name), " is ", element_type_name(tensor.type),
                                  ", which does not convert to ", c10::toString(type)));
    } else {
      return true;
    }
    return false;
  }

  void refuse_settings() {
    const AdapterConfig& config = directory_.config();
    const auto refuse = [&](bool asked, std::string_view field) {
      if (asked) other_.push_back(message("\"", field, "\" asks for something that this call does not do"));
    };
    refuse(config.use_dora, "use_dora");
    refuse(config.lora_bias, "lora_bias");
    refuse(config.bias != AdapterBias::none, "bias");
    refuse(config.fan_in_fan_out, "fan_in_fan_out");
    refuse(!config.trainable_token_indices.empty(), "trainable_token_indices");
  }

  void find_heads() {
    for (const TargetCandidate& candidate : target_candidates(module_)) {
      for (const std::string& wanted : directory_.config().modules_to_save) {
        if (matches_suffix(candidate.name, wanted) && !within_any(candidate.name, heads_)) {
          heads_.push_back(candidate.name);
        }
      }
    }
    for (const auto& [name, target] : detail::head_tensors(module_, heads_)) {
      const TensorInfo* tensor = take(name);
      if (!tensor) {
        missing_.push_back(quoted(name));
      } else if (fits(*tensor, target.sizes(), target.scalar_type())) {
        head_tensors_.emplace_back(target, tensor);
      }
    }
  }

  /// Whether the config's targets take a layer; false where that cannot be told.
  bool named(const std::string& path) const {
    const AdapterConfig& config = directory_.config();
    if (!config.target_modules.pattern.empty() || !config.exclude_modules.pattern.empty()) return false;
    const auto takes = [&](const ModuleNames& modules) {
      return std::any_of(modules.names.begin(), modules.names.end(),
                         [&](const std::string& name) { return matches_suffix(path, name); });
    };
    if (!takes(config.target_modules) || takes(config.exclude_modules) || within_any(path, heads_)) return false;
    const bool whole = std::count(config.target_modules.names.begin(), config.target_modules.names.end(), path) > 0;
    if (!config.layers_to_transform || whole) return true;
    const auto in_list = [&](const std::string& list) {
      const auto number = layer_number(path, list);
      return number && std::count(config.layers_to_transform->begin(), config.layers_to_transform->end(), *number) > 0;
    };
    if (config.layers_pattern.empty()) return in_list("");
    return std::any_of(config.layers_pattern.begin(), config.layers_pattern.end(), in_list);
  }

  /// The value that the config's patterns give a layer. PEFT takes the first key that matches, in the file's order,
  /// which a map does not keep: keys that disagree are refused.
  template <class Value>
  Value patterned(const std::map<std::string, Value>& patterns, Value usual, const std::string& path,
                  std::string_view field) {
    std::optional<Value> found;
    for (const auto& [key, value] : patterns) {
      const auto takes = pattern_takes(key, path);
      if (!takes) {
        strange_.insert(message("\"", field, "\" has the key ", quoted(key),
                                ", a regular expression; only names of layers are read"));
      } else if (*takes) {
        if (found && *found != value) {
          other_.push_back(message("\"", field, "\" gives layer ", quoted(path), " two values"));
        }
        found = value;
      }
    }
    return found.value_or(usual);
  }

  void read_layer(const std::string& path, const Adaptable& layer) {
    const auto [key_A, key_B] = layer.factor_keys();
    const std::string at = path.empty() ? "" : path + ".";
    const TensorInfo* A = take(at + key_A);
    const TensorInfo* B = take(at + key_B);
    if (!A && !B && !named(path)) return;
    if (!A) missing_.push_back(quoted(at + key_A));
    if (!B) missing_.push_back(quoted(at + key_B));
    if (!A || !B) return;

    const AdapterConfig& config = directory_.config();
    LoraOptions options{.rank = patterned(config.rank_pattern, config.r, path, "rank_pattern"),
                        .alpha = patterned(config.alpha_pattern, config.lora_alpha, path, "alpha_pattern"),
                        .dropout = config.lora_dropout,
                        .start = LowRankStart::kaiming,
                        .divisor = config.use_rslora ? LowRankScale::root_of_rank : LowRankScale::rank};
    if (A->shape.empty() || A->shape[0] != options.rank) {
      other_.push_back(message("layer ", quoted(path), " has rank ", A->shape.empty() ? 0 : A->shape[0],
                               " by its weights and ", options.rank, " by the config"));
      return;
    }
    const torch::ScalarType type = factor_type(layer.main_weight().scalar_type());
    try {
      const LowRankShape shape = layer.factor_shape(options.rank);
      const bool fit_A = fits(*A, shape.A, type);
      const bool fit_B = fits(*B, shape.B, type);
      if (fit_A && fit_B) adapters_.emplace(path, Factors{A, B, options});
    } catch (const OptionError& error) {
      other_.push_back(message("layer ", quoted(path), ": ",
                               std::string_view(error.what()).substr(std::string_view("OptionError: ").size())));
    }
  }

  void fail_if_faulty() {
    other_.insert(other_.end(), strange_.begin(), strange_.end());
    if (missing_.empty() && extra_.empty() && misshapen_.empty() && mistyped_.empty() && other_.empty()) return;
    std::string text = message(directory_.path().string(),
                               ": this adapter does not fit the model; nothing was changed. "
                               "Check that both are of one architecture");
    list_faults(text, "missing in the file", missing_);
    list_faults(text, "not in the model", extra_);
    list_faults(text, "of another shape", misshapen_);
    list_faults(text, "of another type", mistyped_);
    for (const std::string& fault : other_) text += "\n  " + fault;
    throw FormatError(text);
  }

  const AdapterDir& directory_;
  torch::nn::Module& module_;
  std::map<std::string, Factors> adapters_;
  std::vector<std::string> heads_;
  std::vector<std::pair<torch::Tensor, const TensorInfo*>> head_tensors_;
  std::set<std::string> used_;
  std::set<std::string> strange_;
  std::vector<std::string> missing_, extra_, misshapen_, mistyped_, other_;
};

inline torch::Tensor read_tensor(const AdapterDir& directory, const TensorInfo& info) {
  torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
  directory.read(info, bytes_of(tensor));
  return tensor;
}

/// The config of an adapter whose layers have these options.
inline AdapterConfig config_of(const std::vector<std::pair<std::string, LoraOptions>>& layers,
                               const AdapterInfo& info) {
  std::vector<std::int64_t> ranks;
  std::vector<double> alphas;
  const LoraOptions& first = layers.front().second;
  for (const auto& [path, options] : layers) {
    ranks.push_back(options.rank);
    alphas.push_back(options.alpha);
    if (options.dropout != first.dropout || options.divisor != first.divisor) {
      throw OptionError(message("layers ", quoted(layers.front().first), " and ", quoted(path),
                                " differ in dropout or divisor, and adapter_config.json has room for one; save them "
                                "as two adapters"));
    }
  }
  AdapterConfig config;
  config.base_model_name_or_path = info.base_model;
  config.task_type = info.task_type;
  config.r = most_common(ranks);
  config.lora_alpha = most_common(alphas);
  config.lora_dropout = first.dropout;
  config.use_rslora = first.divisor == LowRankScale::root_of_rank;
  config.init_lora_weights = first.start == LowRankStart::gaussian ? "gaussian" : "true";
  for (const auto& [path, options] : layers) {
    if (options.rank != config.r) config.rank_pattern[exact_pattern(path)] = options.rank;
    if (options.alpha != config.lora_alpha) config.alpha_pattern[exact_pattern(path)] = options.alpha;
  }
  return config;
}

}  // namespace detail

inline void save_adapter(const std::filesystem::path& directory, torch::nn::Module& module, const std::string& name,
                         const AdapterInfo& info) {
  detail::require_adapter(module, name);
  const std::vector<std::string> heads = info.heads ? *info.heads : detail::trained_modules(module);
  const auto modules = module.named_modules("", /*include_self=*/false);
  for (const std::string& head : heads) {
    if (!modules.contains(head)) throw OptionError(message("the model has no head ", quoted(head)));
  }

  NamedTensors tensors = detail::head_tensors(module, heads);
  std::vector<std::pair<std::string, LoraOptions>> layers;
  std::vector<std::string> paths;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto adapter = layer->adapter(name);
    if (!adapter) continue;
    if (path.empty()) {
      throw OptionError("an adapter's file names layers inside a model; this module is itself the adapted layer");
    }
    const auto [key_A, key_B] = layer->factor_keys();
    tensors.emplace_back(path + "." + key_A, adapter->lora_A);
    tensors.emplace_back(path + "." + key_B, adapter->lora_B);
    layers.emplace_back(path, adapter->options);
    paths.push_back(path);
  }

  const auto factors = detail::factor_tensors(module);
  std::string lost;
  for (const auto& parameter : module.named_parameters()) {
    const torch::Tensor& tensor = parameter.value();
    if (!tensor.requires_grad() || factors.count(tensor.unsafeGetTensorImpl())) continue;
    if (!detail::within_any(parameter.key(), heads)) lost += " " + quoted(parameter.key());
  }
  if (!lost.empty()) {
    throw OptionError(message("trained parameters of no adapter and no head would be lost:", lost,
                              "; freeze them, or name their modules as heads"));
  }

  AdapterConfig config = detail::config_of(layers, info);
  config.target_modules.names = detail::target_names(module, paths, heads);
  config.modules_to_save = heads;

  std::vector<torch::Tensor> kept;
  std::vector<TensorBytes> bytes;
  for (const auto& [key, tensor] : tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    bytes.push_back({key, element_type(tensor.scalar_type()), tensor.sizes().vec(), detail::bytes_of(kept.back())});
  }
  write_adapter_dir(directory, config, bytes, {.metadata = info.metadata, .replace = info.replace});
}

inline LoadedAdapter load_adapter(const std::filesystem::path& directory, torch::nn::Module& module,
                                  const std::string& name) {
  const AdapterDir files(directory);
  const detail::AdapterReader reader(files, module);

  // All is read before the model is touched.
  std::map<std::string, LoraOptions> layers;
  std::map<std::string, std::pair<torch::Tensor, torch::Tensor>> values;
  for (const auto& [path, factors] : reader.adapters()) {
    layers.emplace(path, factors.options);
    values.emplace(path, std::pair(detail::read_tensor(files, *factors.A), detail::read_tensor(files, *factors.B)));
  }
  std::vector<torch::Tensor> head_values;
  for (const auto& [target, info] : reader.head_tensors()) head_values.push_back(detail::read_tensor(files, *info));

  attach(module, layers, reader.heads(), name);
  const torch::NoGradGuard no_grad;
  LoadedAdapter loaded{{}, reader.heads(), files.config(), files.warnings()};
  for (const auto& [path, layer] : adaptable_layers(module)) {
    const auto found = values.find(path);
    if (found == values.end()) continue;
    layer->adapter(name)->lora_A.copy_(found->second.first);
    layer->adapter(name)->lora_B.copy_(found->second.second);
    loaded.layers.push_back(path);
  }
  for (std::size_t i = 0; i < head_values.size(); ++i) {
    torch::Tensor target = reader.head_tensors()[i].first;
    target.copy_(head_values[i]);
  }
  return loaded;
}

}  // namespace graft
