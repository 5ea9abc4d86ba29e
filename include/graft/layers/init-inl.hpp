#pragma once

#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "graft/layers/init.hpp"

namespace graft {

GRAFT_INLINE void initialize_normal(torch::nn::Module& module, double standard_deviation) {
  const torch::NoGradGuard no_grad;
  module.apply([&](torch::nn::Module& part) {
    if (const auto* linear = dynamic_cast<torch::nn::LinearImpl*>(&part)) {
      torch::nn::init::normal_(linear->weight, 0.0, standard_deviation);
      if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
    } else if (const auto* embedding = dynamic_cast<torch::nn::EmbeddingImpl*>(&part)) {
      torch::nn::init::normal_(embedding->weight, 0.0, standard_deviation);
      if (const auto padding = embedding->options.padding_idx()) {
        const std::int64_t row = *padding;
        embedding->weight.select(0, row < 0 ? row + embedding->weight.size(0) : row).zero_();
      }
    } else if (const auto* norm = dynamic_cast<torch::nn::LayerNormImpl*>(&part)) {
      torch::nn::init::ones_(norm->weight);
      torch::nn::init::zeros_(norm->bias);
    }
  });
}

}  // namespace graft
