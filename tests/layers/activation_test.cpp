#include "graft/layers/activation.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

TEST(Activation, IsTheFunctionOfItsName) {
  const torch::Tensor x = torch::tensor({-2.5, -0.5, 0.0, 0.75, 3.0}, torch::kFloat64);
  const auto by_hand = [&](auto&& f) {
    torch::Tensor y = torch::empty_like(x);
    for (std::int64_t i = 0; i < x.size(0); ++i) y[i] = f(x[i].template item<double>());
    return y;
  };
  const auto gelu = by_hand([](double v) { return v * 0.5 * (1 + std::erf(v / std::sqrt(2.0))); });
  const auto gelu_tanh = by_hand([](double v) {
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (v + 0.044715 * v * v * v)));
  });
  const auto silu = by_hand([](double v) { return v / (1 + std::exp(-v)); });
  const std::vector<std::pair<std::string, torch::Tensor>> cases{
      {"gelu", gelu},           {"gelu_new", gelu_tanh}, {"gelu_pytorch_tanh", gelu_tanh},
      {"relu", x.clamp_min(0)}, {"silu", silu},          {"tanh", by_hand([](double v) { return std::tanh(v); })}};
  for (const auto& [name, expected] : cases) {
    EXPECT_LT((activate(activation_named(name), x) - expected).abs().max().item<double>(), 1e-15) << name;
  }
}

TEST(Activation, ListsWhatThereIsForAnUnknownName) {
  EXPECT_EQ(error_message([] { activation_named("mish"); }),
            "OptionError: activation \"mish\" is not supported; choose one of gelu, gelu_new, gelu_pytorch_tanh, relu, "
            "silu, tanh");
}

}  // namespace
}  // namespace graft
