#include "graft/layers/attention.hpp"

#include <gtest/gtest.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

TEST(SelfAttention, MixesTheTokensOfOneSequenceHeadByHead) {
  torch::manual_seed(0);
  SelfAttention layer(SelfAttentionOptions{.hidden = 6, .heads = 2});
  layer->to(torch::kFloat64);
  const torch::Tensor x = torch::randn({5, 6}, torch::kFloat64);
  const torch::Tensor offsets = torch::tensor({0, 2, 5}, torch::kInt64);
  const torch::Tensor y = layer(x, offsets);

  const auto parameters = layer->named_parameters();
  const auto project = [&](const std::string& name, const torch::Tensor& rows) {
    return torch::linear(rows, parameters[name + ".weight"], parameters[name + ".bias"]);
  };
  for (const auto& [begin, end] : {std::pair{0, 2}, std::pair{2, 5}}) {
    for (std::int64_t head = 0; head < 2; ++head) {
      const torch::Tensor rows = x.slice(0, begin, end);
      const auto part = [&](const std::string& name) { return project(name, rows).slice(1, 3 * head, 3 * head + 3); };
      const torch::Tensor weights = torch::softmax(part("query").matmul(part("key").t()) / std::sqrt(3.0), -1);
      const torch::Tensor expected = weights.matmul(part("value"));
      // Two ways to round the same float64 sums.
      EXPECT_LT((y.slice(0, begin, end).slice(1, 3 * head, 3 * head + 3) - expected).abs().max().item<double>(), 1e-14);
    }
  }
}

TEST(SelfAttention, WantsHeadsThatDivideTheWidth) {
  EXPECT_EQ(error_message([] { SelfAttention(SelfAttentionOptions{.hidden = 6, .heads = 4}); }),
            "OptionError: 4 attention heads do not divide a hidden size of 6");
}

}  // namespace
}  // namespace graft
