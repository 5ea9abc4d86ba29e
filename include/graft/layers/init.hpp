#pragma once

#include "graft/core/mode.hpp"

namespace torch::nn {
class Module;
}

namespace graft {

/// Fresh weights for every Linear, Embedding and LayerNorm below `module`, as BERT starts: weights from
/// N(0, standard_deviation), biases zero, norms one and zero, padding rows zero. Draws from LibTorch's default
/// generator. Source: Devlin et al., BERT, arXiv:1810.04805, and its published code (initializer_range).
void initialize_normal(torch::nn::Module& module, double standard_deviation);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/layers/init-inl.hpp"
#endif
