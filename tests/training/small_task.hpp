#pragma once

#include <random>
#include <span>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/utils.h>

#include "graft/training/loss.hpp"

namespace graft_test {

/// Rows of token numbers, most of them below 25 in class 0 and above it in class 1.
class SmallTask {
 public:
  struct Batch {
    torch::Tensor ids;     // [T] int64, the rows end to end
    torch::Tensor starts;  // [N] int64
    torch::Tensor labels;  // [N] int64
  };

  explicit SmallTask(std::int64_t rows, std::uint64_t seed = 11) {
    std::mt19937_64 random(seed);
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto label = static_cast<std::int64_t>(random() % 2);
      std::vector<std::int64_t> ids(3 + random() % 12);
      for (auto& id : ids)
        id = static_cast<std::int64_t>(random() % 25) + (random() % 10 < 8 ? 25 * label : 25 - 25 * label);
      rows_.push_back(std::move(ids));
      labels_.push_back(label);
    }
  }

  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t length(std::int64_t row) const {
    return static_cast<std::int64_t>(rows_[static_cast<std::size_t>(row)].size());
  }
  Batch batch(std::span<const std::int64_t> rows) const {
    std::vector<std::int64_t> ids, starts, labels;
    for (const auto row : rows) {
      starts.push_back(static_cast<std::int64_t>(ids.size()));
      const auto& own = rows_[static_cast<std::size_t>(row)];
      ids.insert(ids.end(), own.begin(), own.end());
      labels.push_back(labels_[static_cast<std::size_t>(row)]);
    }
    return {torch::tensor(ids, torch::kLong), torch::tensor(starts, torch::kLong), torch::tensor(labels, torch::kLong)};
  }

  /// Makes a row's label one that no loss judges.
  void ignore(std::int64_t row) { labels_[static_cast<std::size_t>(row)] = -100; }

 private:
  std::vector<std::vector<std::int64_t>> rows_;
  std::vector<std::int64_t> labels_;
};

/// Mean of word vectors, then two layers.
struct SmallNetImpl : torch::nn::Module {
  explicit SmallNetImpl(double dropout = 0.0, torch::Dtype type = torch::kFloat, std::uint64_t seed = 5) {
    torch::manual_seed(seed);
    words = register_module("words", torch::nn::EmbeddingBag(torch::nn::EmbeddingBagOptions(50, 8).mode(torch::kMean)));
    drop = register_module("drop", torch::nn::Dropout(dropout));
    hidden = register_module("hidden", torch::nn::Linear(8, 8));
    head = register_module("head", torch::nn::Linear(8, 2));
    to(type);
  }

  torch::Tensor forward(const SmallTask::Batch& batch) {
    return head(torch::tanh(hidden(drop(words->forward(batch.ids, batch.starts)))));
  }

  graft::Loss loss(const SmallTask::Batch& batch) { return graft::cross_entropy(forward(batch), batch.labels); }

  torch::nn::EmbeddingBag words{nullptr};
  torch::nn::Dropout drop{nullptr};
  torch::nn::Linear hidden{nullptr}, head{nullptr};
};
TORCH_MODULE(SmallNet);

inline double largest_difference(const torch::nn::Module& a, const torch::nn::Module& b) {
  double largest = 0.0;
  const auto others = b.named_parameters();
  for (const auto& item : a.named_parameters()) {
    largest = std::max(largest, (item.value() - others[item.key()]).abs().max().item<double>());
  }
  return largest;
}

}  // namespace graft_test
