#pragma once

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/peft/stored.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/console.hpp"
#include "graft/io/peft_names.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft {
namespace detail {

/// What a tensor of an adapter's file is: the layer's path and the part, such as peft_names::lora_A; an empty part for
/// what is of no layer.
GRAFT_INLINE std::pair<std::string, std::string> adapter_part(const std::string& name) {
  static constexpr std::string_view parts[] = {peft_names::lora_A,           peft_names::lora_B,
                                               peft_names::lora_B_bias,      peft_names::lora_embedding_A,
                                               peft_names::lora_embedding_B, peft_names::magnitude};
  for (const std::string_view part : parts) {
    if (name.size() > part.size() + 1 && matches_suffix(name, part)) {
      return {name.substr(0, name.size() - part.size() - 1), std::string(part)};
    }
  }
  return {name, ""};
}

/// The name in the base of a tensor that is of no layer's adapter; empty for a copy that PEFT writes but does not read.
GRAFT_INLINE std::string name_in_base(std::string name) {
  for (const std::string_view copy : {peft_names::original_module, peft_names::modules_to_save}) {
    if (name.find(message(".", copy, ".")) != std::string::npos) return "";
  }
  const std::string wrapper = message(".", peft_names::base_layer, ".");
  const std::size_t at = name.rfind(wrapper);
  if (at != std::string::npos) name.erase(at, wrapper.size() - 1);
  return name;
}

GRAFT_INLINE torch::ScalarType sum_type(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

/// The faults of one layer, as sentences.
GRAFT_INLINE void check_stored(const StoredLayer& layer, std::int64_t rank, std::vector<std::string>& faults) {
  const std::int64_t by_weights = layer.A.dim() > 0 ? layer.A.size(0) : 0;
  if (by_weights != rank) {
    faults.push_back(message("layer ", quoted(layer.path), " has rank ", by_weights, " by its weights and ", rank,
                             " by the config"));
    return;
  }
  const bool flat = layer.kind != StoredLayer::Kind::convolution;
  if (layer.A.dim() != layer.B.dim() || (flat && layer.A.dim() != 2) || layer.B.size(1) != rank ||
      layer.B.numel() != layer.B.size(0) * rank) {
    faults.push_back(message("layer ", quoted(layer.path), " has A ", layer.A.sizes(), " and B ", layer.B.sizes(),
                             ", which do not fit each other"));
    return;
  }
  if (layer.bias.defined() && (layer.bias.dim() != 1 || layer.bias.size(0) != layer.rows())) {
    faults.push_back(
        message("layer ", quoted(layer.path), " has a bias ", layer.bias.sizes(), " on B ", layer.B.sizes()));
  }
  if (layer.magnitude.defined() && layer.magnitude.numel() != layer.rows()) {
    faults.push_back(
        message("layer ", quoted(layer.path), " has magnitudes ", layer.magnitude.sizes(), " for B ", layer.B.sizes()));
  }
}

GRAFT_INLINE double product_norm(const StoredLayer& layer) {
  const torch::Tensor A = layer.A.flatten(1).to(torch::kFloat64), B = layer.B.flatten(1).to(torch::kFloat64);
  return std::abs(layer.scale) * std::sqrt(std::max(0.0, (B.t().mm(B) * A.mm(A.t())).sum().item<double>()));
}

}  // namespace detail

GRAFT_INLINE torch::Tensor StoredLayer::product() const {
  const torch::ScalarType type = detail::sum_type(A);
  return B.flatten(1).to(type).mm(A.flatten(1).to(type)).mul_(scale);
}

GRAFT_INLINE void StoredLayer::check_fits(torch::IntArrayRef weight) const {
  std::vector<std::int64_t> wanted = {rows(), columns()};
  if (kind == Kind::convolution) wanted = A.sizes().vec(), wanted[0] = rows();
  if (kind == Kind::embedding || fan_in_fan_out) std::reverse(wanted.begin(), wanted.end());
  if (weight == torch::IntArrayRef(wanted)) return;
  throw FormatError(message("layer ", quoted(path), " has A ", A.sizes(), " and B ", B.sizes(), " for a weight ",
                            weight, "; check that adapter and base are of one architecture"));
}

GRAFT_INLINE torch::Tensor StoredLayer::merged(const torch::Tensor& weight) const {
  const torch::NoGradGuard no_grad;
  check_fits(weight.sizes());
  const bool turned = kind == Kind::embedding || fan_in_fan_out;
  const torch::ScalarType type = detail::sum_type(weight);
  torch::Tensor sum = (turned ? weight.t() : weight.flatten(1)).to(type) + product().to(type);
  if (magnitude.defined()) {
    const torch::Tensor norm = sum.square().sum(1, /*keepdim=*/true, torch::kFloat64).sqrt().to(type);
    sum = sum * (magnitude.flatten().to(type).unsqueeze(1) / norm);
  }
  sum = (turned ? sum.t() : sum.view(weight.sizes())).to(weight.scalar_type()).contiguous();
  if (!torch::isfinite(sum).all().item<bool>()) {
    throw StateError(
        message("merging layer ", quoted(path),
                " gives values that are not finite; the adapter or the base is damaged, or its type too small"));
  }
  return sum;
}

GRAFT_INLINE StoredAdapter::StoredAdapter(const std::filesystem::path& directory)
    : files_(directory), warnings_(files_.warnings()) {
  const AdapterConfig& config = files_.config();
  std::vector<std::string> faults;
  if (!config.trainable_token_indices.empty()) {
    faults.push_back("it trains rows of an embedding, which only a model can take; load it on one and merge there");
  }
  if (config.peft_type != "LORA") {
    faults.push_back("it is of " + config.peft_type + ", not of low rank; load it on a model and merge there");
  }
  const auto read = [&](const TensorInfo& info) {
    const auto type = find_scalar_type(info.type);
    if (!type || !c10::isFloatingType(*type)) {
      faults.push_back(message(quoted(info.name), " is ", element_type_name(info.type), ", no type of a weight"));
      return torch::Tensor();
    }
    torch::Tensor tensor = torch::empty(info.shape, *type);
    files_.read(info, detail::bytes_of(tensor));
    return tensor;
  };
  std::map<std::string, std::map<std::string, torch::Tensor>> layers;
  for (const TensorInfo& info : files_.tensors()) {
    const auto [path, part] = detail::adapter_part(info.name);
    if (!part.empty()) {
      layers[path][part] = read(info);
    } else if (const std::string name = detail::name_in_base(info.name); !name.empty()) {
      others_.emplace_back(name, read(info));
    }
  }
  PathValues<std::int64_t> ranks(config.rank_pattern);
  PathValues<double> alphas(config.alpha_pattern);
  for (auto& [path, parts] : layers) {
    StoredLayer layer{.path = path};
    const bool embedding = parts.count(peft_names::lora_embedding_A) + parts.count(peft_names::lora_embedding_B) > 0;
    layer.A = parts[embedding ? peft_names::lora_embedding_A : peft_names::lora_A];
    layer.B = parts[embedding ? peft_names::lora_embedding_B : peft_names::lora_B];
    layer.bias = parts[peft_names::lora_B_bias];
    layer.magnitude = parts[peft_names::magnitude];
    // clang 14 captures a structured binding by name alone.
    const auto lacks = [&, &path = path](const torch::Tensor& tensor, std::string_view part) {
      if (!tensor.defined()) faults.push_back(message("layer ", quoted(path), " has no ", part));
      return !tensor.defined();
    };
    bool bad = lacks(layer.A, embedding ? peft_names::lora_embedding_A : peft_names::lora_A);
    bad = lacks(layer.B, embedding ? peft_names::lora_embedding_B : peft_names::lora_B) || bad;
    if (config.use_dora) bad = lacks(layer.magnitude, peft_names::magnitude) || bad;
    if (config.lora_bias) bad = lacks(layer.bias, peft_names::lora_B_bias) || bad;
    if (bad) continue;
    layer.kind = embedding            ? StoredLayer::Kind::embedding
                 : layer.A.dim() == 2 ? StoredLayer::Kind::linear
                                      : StoredLayer::Kind::convolution;
    layer.fan_in_fan_out = config.fan_in_fan_out && layer.kind == StoredLayer::Kind::linear;
    layer.rank = ranks.find(path).value_or(config.r);
    const auto r = static_cast<double>(layer.rank);
    layer.scale = alphas.find(path).value_or(config.lora_alpha) / (config.use_rslora ? std::sqrt(r) : r);
    detail::check_stored(layer, layer.rank, faults);
    layers_.push_back(std::move(layer));
  }
  for (std::string& sentence : detail::unused_patterns(ranks.unused(), alphas.unused()))
    warnings_.push_back(std::move(sentence));
  if (layers.empty() && faults.empty()) faults.push_back("it holds no layer's adapter");
  if (faults.empty()) return;
  std::string text = message(files_.path().string(), ": this is no sound adapter:");
  for (const std::string& fault : faults) text += "\n  " + fault;
  throw FormatError(text);
}

GRAFT_INLINE std::string StoredAdapter::summary() const {
  std::size_t width = 5;
  for (const StoredLayer& layer : layers_) width = std::max(width, layer.path.size());
  std::ostringstream out;
  out << std::left << std::setw(static_cast<int>(width)) << "layer" << std::right << std::setw(7) << "rank"
      << std::setw(10) << "scale" << std::setw(12) << "|A|" << std::setw(12) << "|B|" << std::setw(12) << "|scale B A|"
      << std::setw(14) << "parameters" << '\n';
  std::int64_t parameters = 0;
  for (const StoredLayer& layer : layers_) {
    std::int64_t own = layer.A.numel() + layer.B.numel();
    if (layer.bias.defined()) own += layer.bias.numel();
    if (layer.magnitude.defined()) own += layer.magnitude.numel();
    parameters += own;
    out << std::left << std::setw(static_cast<int>(width)) << layer.path << std::right << std::setw(7) << layer.rank
        << std::setw(10) << std::setprecision(4) << layer.scale << std::setw(12)
        << layer.A.to(torch::kFloat64).norm().item<double>() << std::setw(12)
        << layer.B.to(torch::kFloat64).norm().item<double>() << std::setw(12) << detail::product_norm(layer)
        << std::setw(14) << grouped_digits(own) << '\n';
  }
  std::int64_t full = 0;
  for (const auto& [name, tensor] : others_) full += tensor.numel();
  const AdapterConfig& config = files_.config();
  out << "layers " << layers_.size() << ", parameters " << grouped_digits(parameters) << '\n';
  out << "kind " << (config.use_dora ? "DoRA" : "LoRA") << (config.use_rslora ? ", alpha / sqrt(r)" : ", alpha / r")
      << ", dropout " << config.lora_dropout << '\n';
  for (const auto& [name, tensor] : others_) out << "in full " << name << ' ' << tensor.sizes() << '\n';
  if (!others_.empty()) out << "parameters in full " << grouped_digits(full) << '\n';
  if (config.task_type) out << "task " << *config.task_type << '\n';
  out << "base " << config.base_model_name_or_path.value_or("not named") << '\n';
  for (const auto& [key, value] : metadata()) {
    if (key != "format") out << key << ' ' << quoted(value) << '\n';
  }
  for (const std::string& warning : warnings_) out << "warning: " << warning << '\n';
  return out.str();
}

}  // namespace graft
