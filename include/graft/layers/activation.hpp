#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/ops/gelu.hpp"

namespace graft {

/// The nonlinearity that follows a projection.
enum class Activation {
  gelu,       ///< x Phi(x), by the error function. Hendrycks and Gimpel, arXiv:1606.08415
  gelu_tanh,  ///< its approximation by tanh, section 2 of the same paper
  relu,
  silu,
  tanh,
};

/// The activation that a config.json calls `name`: gelu, gelu_new, gelu_pytorch_tanh, relu, silu or tanh.
/// Throws OptionError with this list for any other name.
Activation activation_named(std::string_view name);

/// activation(x), element by element, in the shape and type of `x`.
torch::Tensor activate(Activation activation, const torch::Tensor& x);

inline Activation activation_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Activation>, 6> names{{{"gelu", Activation::gelu},
                                                                          {"gelu_new", Activation::gelu_tanh},
                                                                          {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                                          {"relu", Activation::relu},
                                                                          {"silu", Activation::silu},
                                                                          {"tanh", Activation::tanh}}};
  std::string known;
  for (const auto& [known_name, activation] : names) {
    if (known_name == name) return activation;
    known += known.empty() ? "" : ", ";
    known += known_name;
  }
  throw OptionError(message("activation ", quoted(name), " is not supported; choose one of ", known));
}

inline torch::Tensor activate(Activation activation, const torch::Tensor& x) {
  switch (activation) {
    case Activation::gelu:
      return graft::gelu(x);
    case Activation::gelu_tanh:
      return torch::gelu(x, "tanh");
    case Activation::relu:
      return torch::relu(x);
    case Activation::silu:
      return torch::silu(x);
    case Activation::tanh:
      return torch::tanh(x);
  }
  throw OptionError("activation is none of the enumerators");
}

}  // namespace graft
