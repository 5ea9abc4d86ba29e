#pragma once

#include <utility>

#include <torch/types.h>

namespace graft {

/// How much a loss judged: rows, tokens or weights. A number, or a tensor [] that is read only where a number is asked
/// for: a count that a GPU makes is waited for there, and not before.
class Count {
 public:
  Count(double number = 0.0) : number_(number) {}
  Count(torch::Tensor tensor) : tensor_(std::move(tensor)) {}

  /// The number. Waits for the device of a tensor.
  operator double() const { return is_tensor() ? tensor_.item<double>() : number_; }

  bool is_tensor() const { return tensor_.defined(); }

  /// True if asking for the number may wait for a device.
  bool is_on_device() const { return is_tensor() && !tensor_.is_cpu(); }

  /// [] float64 on `device`.
  torch::Tensor on(torch::Device device) const {
    const auto options = torch::TensorOptions(torch::kDouble).device(device);
    return is_tensor() ? tensor_.detach().to(options) : torch::full({}, number_, options);
  }

  /// The sum. A tensor is not read for it.
  Count plus(const Count& other) const {
    if (!is_tensor() && !other.is_tensor()) return number_ + other.number_;
    const torch::Device device = (is_tensor() ? tensor_ : other.tensor_).device();
    return on(device) + other.on(device);
  }

 private:
  double number_ = 0.0;
  torch::Tensor tensor_;
};

}  // namespace graft
