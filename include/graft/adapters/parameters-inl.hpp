#pragma once

#include "graft/adapters/parameters.hpp"

namespace graft::detail {

GRAFT_INLINE std::set<const c10::TensorImpl*> factor_tensors(torch::nn::Module& module) {
  std::set<const c10::TensorImpl*> factors;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    for (const std::string& name : layer->adapters()) {
      const auto adapter = layer->adapter(name);
      for (const torch::Tensor& factor : adapter->parameters()) factors.insert(factor.unsafeGetTensorImpl());
      for (const torch::Tensor& start : adapter->buffers()) factors.insert(start.unsafeGetTensorImpl());
    }
  }
  return factors;
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE NamedTensors base_tensors(torch::nn::Module& module) {
  const auto factors = detail::factor_tensors(module);
  NamedTensors tensors = named_tensors(module);
  std::erase_if(tensors, [&](const auto& named) { return factors.count(named.second.unsafeGetTensorImpl()) > 0; });
  return tensors;
}

GRAFT_INLINE ParameterReport count_parameters(torch::nn::Module& module) {
  const auto factors = detail::factor_tensors(module);
  ParameterReport report;
  std::set<const c10::TensorImpl*> seen;
  for (const auto& parameter : module.named_parameters()) {
    const torch::Tensor& tensor = parameter.value();
    if (!seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    const bool is_factor = factors.count(tensor.unsafeGetTensorImpl()) > 0;
    std::string owner = parameter.key();
    for (int parts = is_factor ? 3 : 1; parts > 0; --parts) {  // "...query.adapters.NAME.lora_A" belongs to "...query"
      const std::size_t dot = owner.rfind('.');
      owner.resize(dot == std::string::npos ? 0 : dot);
    }
    const auto same = std::find_if(report.layers.begin(), report.layers.end(),
                                   [&](const auto& layer) { return layer.first == owner; });
    ParameterCount& count =
        same != report.layers.end() ? same->second : report.layers.emplace_back(owner, ParameterCount{}).second;
    (tensor.requires_grad() ? count.trained : count.frozen) += tensor.numel();
    if (factors.empty() || is_factor || tensor.requires_grad()) count.stored += tensor.numel();
  }
  for (const auto& [path, layer] : adaptable_layers(module)) {  // what PiSSA and OLoRA store beside what they train
    for (const std::string& name : layer->adapters()) {
      const auto same = std::find_if(report.layers.begin(), report.layers.end(),
                                     [&, &path = path](const auto& other) { return other.first == path; });
      for (const torch::Tensor& start : layer->adapter(name)->buffers()) same->second.stored += start.numel();
    }
  }
  for (const auto& [name, count] : report.layers) {
    report.all.trained += count.trained;
    report.all.frozen += count.frozen;
    report.all.stored += count.stored;
  }
  return report;
}

GRAFT_INLINE std::string ParameterReport::table() const {
  std::size_t width = 5;
  for (const auto& [name, count] : layers) width = std::max(width, name.size());
  std::ostringstream out;
  const auto line = [&](const std::string& name, const std::string& a, const std::string& b, const std::string& c) {
    out << std::left << std::setw(static_cast<int>(width)) << name << std::right;
    for (const std::string* text : {&a, &b, &c}) out << std::setw(18) << *text;
  };
  line("layer", "trained", "frozen", "stored");
  out << '\n';
  for (const auto& [name, count] : layers) {
    line(name, grouped_digits(count.trained), grouped_digits(count.frozen), grouped_digits(count.stored));
    out << '\n';
  }
  line("all", grouped_digits(all.trained), grouped_digits(all.frozen), grouped_digits(all.stored));
  out << "  trained " << std::fixed << std::setprecision(4) << 100.0 * all.share() << " %\n";
  return out.str();
}

}  // namespace graft
