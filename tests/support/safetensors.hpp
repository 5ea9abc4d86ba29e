#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include <torch/types.h>

#include "graft/io/safetensors.hpp"
#include "graft/tensor/dtype.hpp"

namespace graft {

/// Every tensor of a safetensors file by its name.
inline std::map<std::string, torch::Tensor> read_all(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::map<std::string, torch::Tensor> tensors;
  for (const TensorInfo& info : file.tensors()) {
    torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
    file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    tensors.emplace(info.name, tensor);
  }
  return tensors;
}

}  // namespace graft
