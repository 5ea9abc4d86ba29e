#pragma once

#include <algorithm>
#include <numeric>
#include <utility>

#include <torch/utils.h>

#include "graft/core/error.hpp"
#include "graft/rag/cross_encoder.hpp"

namespace graft {

GRAFT_INLINE CrossEncoder::CrossEncoder(const std::filesystem::path& directory, const CrossEncoderOptions& options)
    : CrossEncoder(CrossEncoderModel(
                       directory, {.device = options.device, .dtype = options.dtype, .max_tokens = options.max_tokens}),
                   options) {}

GRAFT_INLINE CrossEncoder::CrossEncoder(CrossEncoderModel model, const CrossEncoderOptions& options)
    : options_(options), model_(std::move(model)) {
  if (options.batch_tokens < 1) throw OptionError("batch_tokens is less than 1; a batch needs tokens, such as 4096");
}

/// Logits [N] in float32 on the CPU.
GRAFT_INLINE torch::Tensor CrossEncoder::run(const std::string& question, std::span<const std::string> passages) const {
  const torch::NoGradGuard no_grad;
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(passages.size())});
  std::vector<Encoding> pairs =
      model_.tokenizer().encode_pairs(model_.prompt() + question, passages, {.max_length = model_.max_tokens()});
  std::vector<std::int64_t> order(pairs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return pairs[a].size() > pairs[b].size(); });
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    std::vector<std::vector<std::int32_t>> ids, types;
    std::int64_t tokens = 0;
    do {
      Encoding& pair = pairs[static_cast<std::size_t>(order[end++])];
      tokens += static_cast<std::int64_t>(pair.size());
      ids.push_back(std::move(pair.ids));
      types.push_back(std::move(pair.type_ids));
    } while (end < order.size() &&
             tokens + static_cast<std::int64_t>(pairs[static_cast<std::size_t>(order[end])].size()) <=
                 options_.batch_tokens);
    const torch::Tensor rows =
        torch::tensor(std::vector<std::int64_t>(order.begin() + static_cast<std::ptrdiff_t>(begin),
                                                order.begin() + static_cast<std::ptrdiff_t>(end)),
                      torch::kInt64);
    out.index_copy_(0, rows, model_.logits(pack(ids, types)).to(torch::kCPU, torch::kFloat32));
    if (options_.progress) options_.progress(static_cast<std::int64_t>(end - begin), tokens);
  }
  return out;
}

namespace detail {

GRAFT_INLINE std::vector<double> numbers(const torch::Tensor& values) {
  const torch::Tensor wide = values.to(torch::kFloat64).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

}  // namespace detail

GRAFT_INLINE std::vector<double> CrossEncoder::score(const std::string& question,
                                                     std::span<const std::string> passages) const {
  return detail::numbers(model_.scores(run(question, passages)));
}

GRAFT_INLINE std::vector<double> CrossEncoder::logits(const std::string& question,
                                                      std::span<const std::string> passages) const {
  return detail::numbers(run(question, passages));
}

GRAFT_INLINE RerankFunction CrossEncoder::function() const {
  return [encoder = *this](const std::string& question, std::span<const std::string> passages) {
    return encoder.score(question, passages);
  };
}

GRAFT_INLINE void CrossEncoder::rerank(Query& query, const RerankWeights& weights,
                                       std::optional<double> least_score) const {
  check_rerank_weights(weights);
  const bool joins = !weights.alone();
  query.rerank = [encoder = *this, text = query.text, joins](const std::string&,
                                                             std::span<const std::string> passages) {
    return joins ? encoder.logits(text, passages) : encoder.score(text, passages);
  };
  query.rerank_weights = joins ? weights : RerankWeights();
  query.least_score = joins && least_score ? model_.logit(*least_score) : least_score;
}

}  // namespace graft
