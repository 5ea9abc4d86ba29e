#include "graft/training/read_back.hpp"

#include <cmath>
#include <span>

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace graft {
namespace {

/// Six rows of three numbers.
struct Rows {
  struct Batch {
    torch::Tensor tokens;
  };
  std::int64_t size() const { return 6; }
  Batch batch(std::span<const std::int64_t> rows) const {
    return {torch::arange(18.0).view({6, 3}).narrow(0, rows.front(), static_cast<std::int64_t>(rows.size()))};
  }
};

TEST(ReadBack, TheFirstRowsAreAskedInEvaluationMode) {
  struct NetImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return torch::dropout(x, 0.9, is_training()); }
  };
  torch::nn::ModuleHolder<NetImpl> net(std::make_shared<NetImpl>());
  const torch::Tensor asked = first_logits(net, Rows(), 4);
  EXPECT_TRUE(asked.equal(torch::arange(12.0, torch::kFloat64).view({4, 3})));
  EXPECT_TRUE(net->is_training()) << "as it was";
  EXPECT_EQ(first_logits(net, Rows()).size(0), 6);
}

TEST(ReadBack, WhatAnswersOtherwiseIsAnError) {
  torch::nn::Linear trained(3, 2), saved(3, 2);
  const torch::NoGradGuard no_grad;
  for (const auto& one : {trained, saved}) {
    one->weight.fill_(1.0);
    one->bias.fill_(0.0);
  }
  EXPECT_EQ(check_read_back(trained, saved, Rows(), "out"), 6);
  saved->bias.fill_(1.0);
  EXPECT_EQ(
      error_message([&] { check_read_back(trained, saved, Rows(), "out"); }),
      "StateError: out: read back, it answers otherwise than what was trained: logits differ by 1, the largest is "
      "48; do not use it");
  saved->bias.fill_(std::nan(""));
  EXPECT_NE(error_message([&] { check_read_back(trained, saved, Rows(), "out"); }), "(no error)");
}

}  // namespace
}  // namespace graft
