#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/generation/detail/chat_text.hpp"
#include "graft/generation/detail/labelled_chat.hpp"
#include "graft/generation/preference_examples.hpp"

namespace graft {

namespace detail {

struct EncodedPreference {
  std::vector<std::int32_t> chosen, rejected;
  std::size_t prompt = 0;  // tokens of it, the same in both
  bool cut = false;
};

GRAFT_INLINE EncodedPreference encoded_preference(const Preference& given, const std::optional<ChatFormat>& format,
                                                  const Tokenizer& tokenizer,
                                                  const PreferenceExamplesOptions& options) {
  const auto encode = [&](const std::vector<ChatMessage>& answer) {
    return labelled_chat(format, tokenizer, joined_messages(given.prompt, answer), options.end);
  };
  const auto begin = [&](const LabelledChat& chat) {
    for (const LabelledChat::Answer& answer : chat.answers)
      if (answer.message >= given.prompt.size()) return answer.begin;
    throw OptionError("an answer has no message of the assistant's");
  };
  LabelledChat chosen = encode(given.chosen), rejected = encode(given.rejected);
  EncodedPreference out{std::move(chosen.ids), std::move(rejected.ids), std::min(begin(chosen), begin(rejected))};
  for (std::vector<std::int32_t>* ids : {&out.chosen, &out.rejected}) {
    if (ids->size() <= options.max_tokens) continue;
    ids->resize(options.max_tokens);
    out.cut = true;
  }
  return out;
}

GRAFT_INLINE std::vector<std::int64_t> answer_labels(const std::vector<std::int32_t>& ids, std::size_t prompt) {
  std::vector<std::int64_t> labels(ids.begin(), ids.end());
  std::fill_n(labels.begin(), std::min(prompt, labels.size()), not_learned);
  return labels;
}

}  // namespace detail

GRAFT_INLINE PreferenceExamples::PreferenceExamples(std::span<const Preference> preferences,
                                                    const std::optional<ChatFormat>& format, const Tokenizer& tokenizer,
                                                    const PreferenceExamplesOptions& options) {
  if (preferences.empty()) throw OptionError("there is no preference to learn from; give at least one");
  std::vector<detail::EncodedPreference> encoded(preferences.size());
  detail::for_each_row(
      preferences.size(), [&](std::size_t i) { return detail::row_name(preferences[i].where, "preference", i); },
      [&](std::size_t i) { encoded[i] = detail::encoded_preference(preferences[i], format, tokenizer, options); });
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    auto& [chosen, rejected, prompt, is_cut] = encoded[i];
    cut_ += is_cut ? 1 : 0;
    std::vector<std::int64_t> better = detail::answer_labels(chosen, prompt);
    std::vector<std::int64_t> worse = detail::answer_labels(rejected, prompt);
    if (learned_count(better) == 0 || learned_count(worse) == 0 || chosen == rejected) {
      ++dropped_;
      continue;
    }
    chosen_.add(std::move(chosen), std::move(better), i);
    rejected_.add(std::move(rejected), std::move(worse), i);
  }
  if (size() == 0) {
    throw OptionError(message("nothing is learned of any of ", preferences.size(), " preferences: their answers do ",
                              "not differ within ", options.max_tokens, " tokens; allow more"));
  }
  chosen_.make_fingerprint();
  rejected_.make_fingerprint();
  fingerprint_ = chosen_.fingerprint() + rejected_.fingerprint();
}

GRAFT_INLINE PreferenceExamples::Batch PreferenceExamples::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::int64_t> labels;
  for (const LearnedTokens* side : std::array<const LearnedTokens*, 2>{&chosen_, &rejected_}) {
    for (const std::int64_t row : rows) {
      ids.push_back(side->ids(row));
      labels.insert(labels.end(), side->labels(row).begin(), side->labels(row).end());
    }
  }
  return {pack(ids), torch::tensor(labels, torch::kInt64)};
}

}  // namespace graft
