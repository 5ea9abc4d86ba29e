#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/nfc.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// One step of a normalizer, on text that knows where it came from.
class Rewrite {
 public:
  virtual ~Rewrite() = default;
  virtual void apply(AlignedText& text) const = 0;
};

class NfcRewrite final : public Rewrite {
 public:
  void apply(AlignedText& text) const override { nfc_.apply(text); }

 private:
  Nfc nfc_;
};

/// Puts `prefix`, with the origin of the first character, in front of a text that is not empty.
inline void prepend(AlignedText& text, std::string_view prefix) {
  if (text.bytes.empty()) return;
  text.bytes.insert(0, prefix);
  text.origin.insert(text.origin.begin(), prefix.size(), TextRange(text.origin.front()));
}

class Prepend final : public Rewrite {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(AlignedText& text) const override { prepend(text, prefix_); }

 private:
  std::string prefix_;
};

/// Replaces every `pattern`, which is not empty; what comes in its place has the origin of its last character.
class Replace final : public Rewrite {
 public:
  Replace(std::string pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(AlignedText& text) const override {
    std::size_t found = text.bytes.find(pattern_);
    if (found == std::string::npos) return;
    AlignedText out;
    out.bytes.reserve(text.bytes.size() * 2);
    out.origin.reserve(text.bytes.size() * 2);
    std::size_t at = 0;
    const auto copy = [&](std::size_t end) {
      out.bytes.append(text.bytes, at, end - at);
      out.origin.insert(out.origin.end(), text.origin.begin() + static_cast<std::ptrdiff_t>(at),
                        text.origin.begin() + static_cast<std::ptrdiff_t>(end));
      at = end;
    };
    for (; found != std::string::npos; found = text.bytes.find(pattern_, at)) {
      copy(found);
      at += pattern_.size();
      out.bytes += content_;
      out.origin.insert(out.origin.end(), content_.size(), text.origin[at - 1]);
    }
    copy(text.bytes.size());
    text = std::move(out);
  }

 private:
  std::string pattern_, content_;
};

/// A normalizer made of steps, one after the other.
class RewritingNormalizer final : public Normalizer {
 public:
  explicit RewritingNormalizer(std::vector<std::unique_ptr<const Rewrite>> steps) : steps_(std::move(steps)) {}

  void normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const override {
    AlignedText own;
    AlignedText& work = out.bytes.empty() ? out : own;
    PlainNormalizer().normalize(text, shift, work);
    for (const auto& step : steps_) {
      step->apply(work);
      if (work.bytes.size() <= UINT32_MAX) continue;
      throw OptionError(message("a text of ", text.size(), " bytes grows beyond 4 GiB; encode less at once"));
    }
    if (&work == &out) return;
    out.bytes += own.bytes;
    out.origin.insert(out.origin.end(), own.origin.begin(), own.origin.end());
  }

 private:
  std::vector<std::unique_ptr<const Rewrite>> steps_;
};

}  // namespace graft::detail
