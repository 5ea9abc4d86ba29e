#pragma once

#include <array>
#include <string>
#include <utility>

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>

#include "graft/core/error.hpp"
#include "graft/layers/activation.hpp"
#include "graft/ops/gelu.hpp"

namespace graft {

GRAFT_INLINE Activation activation_named(std::string_view name) {
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

GRAFT_INLINE at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::gelu:
      return graft::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
    case Activation::silu:
      return at::silu(x);
    case Activation::tanh:
      return at::tanh(x);
  }
  throw OptionError("activation is none of the enumerators");
}

}  // namespace graft
