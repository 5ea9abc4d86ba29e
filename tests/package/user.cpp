#include <torch/nn/functional/linear.h>
#include <torch/nn/modules/linear.h>

#include "graft/adapters/lora.hpp"

torch::Tensor output_of(graft::Lora<torch::nn::Linear>& layer, const torch::Tensor& x);  // of second.cpp

// A fresh adapter changes no bit: B is zero.
int main() {
  torch::manual_seed(0);
  graft::Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(8, 4), graft::LoraOptions{.rank = 2});
  const torch::Tensor x = torch::randn({3, 8});
  const torch::Tensor adapted = output_of(layer, x);
  layer->choose({});
  const bool like_torch =
      torch::allclose(adapted, torch::nn::functional::linear(x, layer->weight, layer->bias), 1e-5, 1e-6);
  return torch::equal(adapted, layer(x)) && like_torch ? 0 : 1;
}
