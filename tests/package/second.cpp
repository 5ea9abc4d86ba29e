#include <torch/nn/modules/linear.h>

#include "graft/adapters/lora.hpp"

// The second file of a program of headers alone: what both files have is joined by the linker.
torch::Tensor output_of(graft::Lora<torch::nn::Linear>& layer, const torch::Tensor& x) { return layer(x); }
