#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <torch/types.h>

namespace graft_test {

/// Compares the gradients that autograd gives for sum(w . f(inputs)), w fixed and random, with central differences.
/// `inputs` are float64 leaves that require gradients. Empty if every element agrees to `tolerance` (absolute plus
/// relative); else says which element of which input does not. The step of 1e-6 leaves differences good to about 1e-9.
inline std::string gradcheck(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& f,
                             const std::vector<torch::Tensor>& inputs, double tolerance = 1e-6) {
  for (const torch::Tensor& x : inputs) x.mutable_grad() = torch::Tensor();
  const torch::Tensor y = f(inputs);
  const torch::Tensor w = torch::rand_like(y) + 0.5;
  (y * w).sum().backward();
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const torch::Tensor& x = inputs[i];
    const torch::Tensor grad = x.grad().defined() ? x.grad().contiguous() : torch::zeros_like(x);
    torch::Tensor flat = x.data().view(-1);
    for (std::int64_t e = 0; e < x.numel(); ++e) {
      constexpr double step = 1e-6;
      const double before = flat[e].item<double>();
      flat[e] = before + step;
      const double above = (f(inputs) * w).sum().item<double>();
      flat[e] = before - step;
      const double below = (f(inputs) * w).sum().item<double>();
      flat[e] = before;
      const double expected = (above - below) / (2 * step);
      const double got = grad.view(-1)[e].item<double>();
      if (!(std::abs(got - expected) <= tolerance * (1 + std::abs(expected)))) {
        return "input " + std::to_string(i) + ", element " + std::to_string(e) + ": gradient " + std::to_string(got) +
               ", difference " + std::to_string(expected);
      }
    }
  }
  return {};
}

}  // namespace graft_test
