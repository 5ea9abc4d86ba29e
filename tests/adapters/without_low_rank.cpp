// Does not compile: a layer norm has no LowRank. The test looks for the message that says so.
#include <torch/nn/modules/normalization.h>

#include "graft/adapters/full.hpp"

graft::Full<torch::nn::LayerNorm> norm(torch::nn::LayerNormOptions({4}));
