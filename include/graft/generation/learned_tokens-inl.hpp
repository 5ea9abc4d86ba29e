#pragma once

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/hash.hpp"
#include "graft/generation/learned_tokens.hpp"

namespace graft {

GRAFT_INLINE LearnedTokens::Batch LearnedTokens::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::int64_t> labels;
  for (const std::int64_t row : rows) {
    ids.push_back(this->ids(row));
    labels.insert(labels.end(), this->labels(row).begin(), this->labels(row).end());
  }
  return {pack(ids), torch::tensor(labels, torch::kInt64)};
}

GRAFT_INLINE void LearnedTokens::add(std::vector<std::int32_t> ids, std::vector<std::int64_t> labels,
                                     std::size_t source) {
  ids_.push_back(std::move(ids));
  labels_.push_back(std::move(labels));
  sources_.push_back(source);
}

GRAFT_INLINE void LearnedTokens::add_cut(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& labels,
                                         std::size_t source, std::size_t max_tokens) {
  if (ids.size() > max_tokens) {
    ids.resize(max_tokens);
    labels.resize(max_tokens);
    ++cut_;
  }
  if (learned_count(labels) == 0) {
    ++dropped_;
  } else {
    add(std::move(ids), std::move(labels), source);
  }
}

GRAFT_INLINE void LearnedTokens::make_fingerprint() {
  Checksum sum;
  for (std::size_t row = 0; row < ids_.size(); ++row) {
    const std::uint64_t size = ids_[row].size();
    sum.add(std::as_bytes(std::span(&size, 1)));
    sum.add(std::as_bytes(std::span(ids_[row])));
    sum.add(std::as_bytes(std::span(labels_[row])));
  }
  fingerprint_ = hex(sum.value());
}

GRAFT_INLINE std::int64_t learned_count(std::span<const std::int64_t> labels) {
  if (labels.empty()) return 0;
  return std::count_if(labels.begin() + 1, labels.end(), [](std::int64_t label) { return label != not_learned; });
}

GRAFT_INLINE void check_ids(const LearnedTokens& data, std::int64_t vocabulary) {
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const auto& ids = data.ids(row);
    const auto beyond = std::find_if(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= vocabulary; });
    if (beyond == ids.end()) continue;
    throw OptionError(message("token ", beyond - ids.begin(), " of row ", data.source(row), " has id ", *beyond,
                              ", but the model's embedding has ", vocabulary,
                              " rows; the tokenizer belongs to another model, or has had tokens added"));
  }
}

}  // namespace graft
