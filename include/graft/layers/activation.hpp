#pragma once

#include <string_view>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

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
at::Tensor activate(Activation activation, const at::Tensor& x);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/activation-inl.hpp"
#endif
