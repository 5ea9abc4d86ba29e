#pragma once

#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/adapters/attach.hpp"
#include "graft/models/heads.hpp"
#include "support/small_encoders.hpp"

namespace graft {

/// Tests that need a CUDA device; skipped where there is none.
class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "there is no CUDA device, or no driver for it";
    torch::globalContext().setAllowTF32CuBLAS(false);  // float32 stays float32
    torch::manual_seed(1);
  }
};

inline double relative_error(const torch::Tensor& ours, const torch::Tensor& theirs) {
  const torch::Tensor expected = theirs.detach().to(torch::kCPU, torch::kFloat64);
  return ((ours.detach().to(torch::kCPU, torch::kFloat64) - expected).abs().max() / expected.abs().max())
      .item<double>();
}

inline BertConfig encoder_config(double dropout = 0.0) {
  auto config = small_encoder<BertConfig>(24);
  config.initializer_range = 0.3;
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout;
  return config;
}

/// The same each time: LoRA whose B is not zero, on the CPU.
inline BertForSequenceClassification small_lora(double dropout = 0.0) {
  torch::manual_seed(2);
  BertForSequenceClassification model(encoder_config(dropout));
  attach(*model, LoraOptions{.rank = 2, .alpha = 4, .dropout = dropout},
         Targets{.layers = {"query", "value", "dense"}});
  for (const auto& parameter : model->named_parameters())
    if (parameter.key().ends_with("lora_B")) parameter->set_data(torch::randn_like(*parameter) * 0.1);
  return model;
}

}  // namespace graft
