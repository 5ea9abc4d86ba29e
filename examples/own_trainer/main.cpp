// A net of one's own with a frozen, LoRA-adapted layer and a fully trained one, and a training loop of one's own.
#include <cstdio>

#include <torch/torch.h>

#include "graft/adapters/full.hpp"
#include "graft/adapters/lora.hpp"

struct NetImpl : torch::nn::Module {
  // The hidden layer stays as it is; only its A [4, 16] and B [64, 4] are trained.
  graft::Lora<torch::nn::Linear> hidden{torch::nn::LinearOptions(16, 64), graft::LoraOptions{.rank = 4, .alpha = 8}};
  graft::Full<torch::nn::Linear> head{torch::nn::LinearOptions(64, 2)};

  NetImpl() {
    register_module("hidden", hidden);
    register_module("head", head);
  }

  torch::Tensor forward(const torch::Tensor& x) { return head(torch::relu(hidden(x))); }
};
TORCH_MODULE(Net);

int main() {
  torch::manual_seed(0);
  Net net;

  std::vector<torch::Tensor> trained;
  for (const torch::Tensor& parameter : net->parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  torch::optim::AdamW optimizer(trained, torch::optim::AdamWOptions(1e-2));

  // Two classes: is the sum of the squares above its mean?
  const torch::Tensor x = torch::randn({512, 16});
  const torch::Tensor y = (x.square().sum(1) > 16).to(torch::kLong);
  double loss_value = 0;
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    torch::Tensor loss = torch::nn::functional::cross_entropy(net(x), y);
    loss.backward();
    optimizer.step();
    loss_value = loss.item<double>();
  }
  const double accuracy = net(x).argmax(1).eq(y).to(torch::kDouble).mean().item<double>();
  std::printf("loss %.3f, accuracy %.3f, trained tensors %zu\n", loss_value, accuracy, trained.size());
  return accuracy > 0.9 ? 0 : 1;
}
