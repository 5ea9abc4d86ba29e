#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/mode.hpp"

namespace graft {

// Whether what was saved is what was trained: the proof is in asking both.

namespace detail {

/// What `logits` gives with `module` in evaluation mode and without gradients, in float64 on the CPU.
torch::Tensor evaluated(torch::nn::Module& module, const std::function<torch::Tensor()>& logits);

}  // namespace detail

/// The logits of the first `count` rows of `data`, or of all if there are fewer: model(batch), float64 on the CPU.
/// `data` gives batches as LabelledTexts and ChatExamples do.
template <class Model, class Data>
torch::Tensor first_logits(Model& model, const Data& data, std::int64_t count = 64) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(std::min<std::int64_t>(data.size(), count)));
  std::iota(rows.begin(), rows.end(), 0);
  return detail::evaluated(*model, [&] { return model(data.batch(rows).tokens); });
}

/// Throws StateError, with both numbers, unless what was saved in `where` answers as what was trained: logits within
/// 1e-3 of the largest, all finite.
void check_read_back(const torch::Tensor& trained, const torch::Tensor& saved, const std::string& where);

/// The same of two models, by first_logits(). Gives the number of rows that both were asked.
template <class Model, class Data>
std::int64_t check_read_back(Model& trained, Model& saved, const Data& data, const std::string& where,
                             std::int64_t count = 64) {
  check_read_back(first_logits(trained, data, count), first_logits(saved, data, count), where);
  return std::min<std::int64_t>(data.size(), count);
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/read_back-inl.hpp"
#endif
