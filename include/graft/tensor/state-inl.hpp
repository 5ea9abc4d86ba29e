#pragma once

#include "graft/tensor/state.hpp"

namespace graft {

GRAFT_INLINE NamedTensors named_tensors(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& parameter : module.named_parameters()) tensors.emplace_back(parameter.key(), parameter.value());
  for (const auto& buffer : module.named_buffers()) tensors.emplace_back(buffer.key(), buffer.value());
  return tensors;
}

}  // namespace graft

namespace graft::detail {

GRAFT_INLINE void list_faults(std::string& text, std::string_view title, const std::vector<std::string>& names) {
  constexpr std::size_t limit = 100;
  if (names.empty()) return;
  text += message("\n  ", title, " (", names.size(), "):");
  for (std::size_t i = 0; i < std::min(names.size(), limit); ++i) text += message(i ? ", " : " ", names[i]);
  if (names.size() > limit) text += message(" and ", names.size() - limit, " more");
}

GRAFT_INLINE std::span<std::byte> bytes_of(const torch::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                               const std::map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) {
    infos.push_back({name, element_type(tensor.scalar_type()), tensor.sizes().vec(), 0, 0});
  }
  torch::Tensor kept;  // alive until the next call, as write_safetensors asks
  write_safetensors(path, infos, metadata, [&](std::size_t i) -> std::span<const std::byte> {
    kept = tensors[i].second.detach().to(torch::kCPU).contiguous();
    return detail::bytes_of(kept);
  });
}

}  // namespace graft
