#include <torch/torch.h>

#include "graft/adapters/lora.hpp"

// A fresh adapter changes nothing: B is zero.
int main() {
  graft::Lora<torch::nn::Linear> layer(torch::nn::LinearOptions(8, 4), graft::LoraOptions{.rank = 2});
  const torch::Tensor x = torch::randn({3, 8});
  return torch::allclose(layer(x), torch::nn::functional::linear(x, layer->weight, layer->bias)) ? 0 : 1;
}
