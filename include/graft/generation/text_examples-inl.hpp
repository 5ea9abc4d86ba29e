#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/generation/text_examples.hpp"

namespace graft {

GRAFT_INLINE TextExamples::TextExamples(std::span<const std::string> texts, const Tokenizer& tokenizer,
                                        const TextExamplesOptions& options) {
  if (texts.empty()) throw OptionError("there is no text to learn from; give at least one");
  if (options.max_tokens < 2 || options.overlap >= options.max_tokens) {
    throw OptionError(message("windows of ", options.max_tokens, " tokens that overlap by ", options.overlap,
                              "; choose at least 2 tokens, and fewer that overlap"));
  }
  const std::vector<Encoding> encodings = tokenizer.encode_batch(texts, {.special_tokens_in_text = false});
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::vector<std::int32_t> ids = encodings[i].ids;
    if (options.end && (ids.empty() || ids.back() != *options.end)) ids.push_back(*options.end);
    if (ids.size() < 2) {
      ++dropped_;
      continue;
    }
    cut_ += ids.size() > options.max_tokens ? 1 : 0;
    for (std::size_t learned = 0; learned < ids.size();) {
      const std::size_t begin = learned - std::min(learned, options.overlap);
      const std::size_t end = std::min(begin + options.max_tokens, ids.size());
      if (end - begin < 2) break;  // without overlap a last token of its own has nothing to follow
      const auto at = [&](std::size_t place) { return ids.begin() + static_cast<std::ptrdiff_t>(place); };
      std::vector<std::int64_t> labels(learned - begin, not_learned);
      labels.insert(labels.end(), at(learned), at(end));
      add({at(begin), at(end)}, std::move(labels), i);
      learned = end;
    }
  }
  if (size() == 0) throw OptionError("no text has two tokens, so that nothing can be learned; give longer ones");
  make_fingerprint();
}

}  // namespace graft
