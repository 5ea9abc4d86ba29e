#pragma once

#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Fresh weights for every Linear, Embedding and LayerNorm below `module`, as BERT starts: weights from
/// N(0, standard_deviation), biases zero, norms one and zero, padding rows zero. Draws from LibTorch's default
/// generator. Source: Devlin et al., BERT, arXiv:1810.04805, and its published code (initializer_range).
void initialize_normal(torch::nn::Module& module, double standard_deviation);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/init-inl.hpp"
#endif
