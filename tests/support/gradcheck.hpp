#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

/// Compares autograd with central differences in float64: for a random direction of the output, the gradient of every
/// element of `inputs` (float64 leaves) within `tolerance` of the larger of 1 and its size. Central differences at
/// step 1e-6 are good to about 1e-9 for smooth functions of values near 1; the default leaves room for curvature.
/// Returns "" or what differs first. `function` must give the same result for the same inputs: no dropout, or one that
/// is seeded inside.
inline std::string gradient_difference(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& function,
                                       std::vector<torch::Tensor> inputs, double tolerance = 1e-6) {
  constexpr double step = 1e-6;
  for (torch::Tensor& input : inputs) input = input.detach().contiguous().clone().set_requires_grad(true);
  const torch::Tensor output = function(inputs);
  const torch::Tensor direction = torch::randn_like(output).detach();
  std::vector<torch::Tensor> gradients =
      torch::autograd::grad({output}, inputs, {direction}, /*retain_graph=*/false, /*create_graph=*/false,
                            /*allow_unused=*/true);
  const torch::NoGradGuard no_grad;
  const auto value = [&] { return (function(inputs) * direction).sum().item<double>(); };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const torch::Tensor analytic =
        gradients[i].defined() ? gradients[i].contiguous() : torch::zeros_like(inputs[i]).contiguous();
    auto* element = inputs[i].data_ptr<double>();
    for (std::int64_t j = 0; j < inputs[i].numel(); ++j) {
      const double saved = element[j];
      element[j] = saved + step;
      const double above = value();
      element[j] = saved - step;
      const double below = value();
      element[j] = saved;
      const double numeric = (above - below) / (2 * step);
      const double given = analytic.data_ptr<double>()[j];
      if (!(std::abs(numeric - given) <= tolerance * std::max(1.0, std::abs(numeric)))) {
        return "input " + std::to_string(i) + ", element " + std::to_string(j) + ": autograd " + std::to_string(given) +
               ", differences " + std::to_string(numeric);
      }
    }
  }
  return "";
}
