#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/tensor/state.hpp"

namespace graft::detail {

/// A source some of whose matrices are given as their transpose.
template <TensorSource Source>
class TurnedTensors {
 public:
  TurnedTensors(const Source& source, std::function<bool(std::string_view name)> is_turned)
      : source_(source), is_turned_(std::move(is_turned)), tensors_(source.tensors()) {
    for (TensorInfo& tensor : tensors_)
      if (turns(tensor)) std::swap(tensor.shape[0], tensor.shape[1]);
  }

  decltype(auto) path() const { return source_.path(); }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  const TensorInfo* find(std::string_view name) const {
    for (const TensorInfo& tensor : tensors_)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }

  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const {
    if (!turns(tensor) || tensor.shape[0] == 0 || tensor.shape[1] == 0)
      return source_.read(*source_.find(tensor.name), bytes);
    std::vector<std::byte> stored(bytes.size());
    source_.read(*source_.find(tensor.name), stored);
    const auto rows = static_cast<std::size_t>(tensor.shape[0]), columns = static_cast<std::size_t>(tensor.shape[1]);
    const std::size_t size = bytes.size() / rows / columns;
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j)
        std::memcpy(bytes.data() + (i * columns + j) * size, stored.data() + (j * rows + i) * size, size);
  }

 private:
  bool turns(const TensorInfo& tensor) const { return tensor.shape.size() == 2 && is_turned_(tensor.name); }

  const Source& source_;
  std::function<bool(std::string_view name)> is_turned_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace graft::detail
