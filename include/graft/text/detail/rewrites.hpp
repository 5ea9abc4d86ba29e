#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/text/detail/bert_pre_tokenizer.hpp"
#include "graft/text/detail/byte_alphabet.hpp"
#include "graft/text/detail/normal_form.hpp"
#include "graft/text/detail/text_expression.hpp"
#include "graft/text/stages.hpp"
#include "graft/text/unicode.hpp"

namespace graft::detail {

/// One step of a normalizer, on text that knows where it came from.
class Rewrite {
 public:
  virtual ~Rewrite() = default;
  virtual void apply(AlignedText& text) const = 0;
};

/// One of the four normal forms.
class NormalFormRewrite final : public Rewrite {
 public:
  explicit NormalFormRewrite(NormalFormKind kind) : form_(kind) {}
  void apply(AlignedText& text) const override { form_.apply(text); }

 private:
  NormalForm form_;
};

/// A whole normalizer as a step, such as BERT's.
class NormalizerRewrite final : public Rewrite {
 public:
  explicit NormalizerRewrite(std::unique_ptr<const Normalizer> normalizer) : normalizer_(std::move(normalizer)) {}
  void apply(AlignedText& text) const override {
    AlignedText out;
    normalizer_->normalize(text.bytes, 0, out);
    for (TextRange& range : out.origin) {
      range = range.begin < range.end ? text.origin[range.begin] : text.origin_before(0);
    }
    out.begin = text.begin;
    text = std::move(out);
  }

 private:
  std::unique_ptr<const Normalizer> normalizer_;
};

/// Each character for itself: change(c, put) puts what it becomes.
template <class Change>
class CharacterRewrite final : public Rewrite {
 public:
  explicit CharacterRewrite(Change change) : change_(std::move(change)) {}
  void apply(AlignedText& text) const override {
    AlignedText out;
    out.bytes.reserve(text.bytes.size());
    out.origin.reserve(text.bytes.size());
    for (std::size_t at = 0; at < text.bytes.size();) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      change_(step.code_point, [&](char32_t c) { out.append(c, text.origin[at]); });
      at += step.length;
    }
    out.begin = text.begin;
    text = std::move(out);
  }

 private:
  Change change_;
};

inline std::unique_ptr<const Rewrite> character_rewrite(auto change) {
  return std::make_unique<CharacterRewrite<decltype(change)>>(std::move(change));
}

inline std::unique_ptr<const Rewrite> lowercase_rewrite() {
  return character_rewrite([](char32_t c, const auto& put) {
    if (!(CodePointTable::instance().flags(c) & kLowers)) return put(c);
    for (const std::uint32_t lower : CodePointTable::lower_case(c)) {
      if (lower != 0) put(lower);
    }
  });
}

inline std::unique_ptr<const Rewrite> strip_accents_rewrite() {
  return character_rewrite([](char32_t c, const auto& put) {
    if (!(CodePointTable::instance().flags(c) & kAccent)) put(c);
  });
}

/// As SentencePiece's "nmt" rules: control characters go, what else counts as white space becomes a space.
inline std::unique_ptr<const Rewrite> nmt_rewrite() {
  return character_rewrite([](char32_t c, const auto& put) {
    const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    const bool gone = (c >= 0x1 && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
    if (space) return put(U' ');
    if (!gone) put(c);
  });
}

/// Each byte as one printable character, as byte-level vocabularies spell it.
inline std::unique_ptr<const Rewrite> spell_bytes_rewrite() {
  return character_rewrite([](char32_t c, const auto& put) {
    std::string bytes;
    append_utf8(bytes, c);
    for (const char byte : bytes) put(ByteAlphabet::instance().character(static_cast<std::uint8_t>(byte)));
  });
}

/// Takes white space from the ends.
class StripRewrite final : public Rewrite {
 public:
  StripRewrite(bool left, bool right) : left_(left), right_(right) {}
  void apply(AlignedText& text) const override {
    std::size_t begin = text.bytes.size(), end = 0;  // of what is no white space
    for (std::size_t at = 0; at < text.bytes.size();) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      if (!is_white_space(step.code_point)) {
        begin = std::min(begin, at);
        end = at + step.length;
      }
      at += step.length;
    }
    if (right_ && end < text.bytes.size()) {
      text.bytes.resize(end);
      text.origin.resize(end);
    }
    if (left_ && begin > 0) {
      begin = std::min(begin, text.bytes.size());
      text.bytes.erase(0, begin);
      text.origin.erase(text.origin.begin(), text.origin.begin() + static_cast<std::ptrdiff_t>(begin));
    }
  }

 private:
  bool left_, right_;
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

/// Copies of a text, with `content` in the place of each match; it has the origin of the match's last character.
class Replacing {
 public:
  Replacing(AlignedText& text, std::string_view content) : text_(text), content_(content) {}

  void match(std::size_t begin, std::size_t end) {
    if (out_.bytes.empty()) {
      out_.bytes.reserve(text_.bytes.size() * 2);
      out_.origin.reserve(text_.bytes.size() * 2);
    }
    copy(begin);
    done_ = end;
    out_.bytes += content_;
    out_.origin.insert(out_.origin.end(), content_.size(), text_.origin_before(end));
    changed_ = true;
  }

  void finish() {
    if (!changed_) return;
    copy(text_.bytes.size());
    out_.begin = text_.begin;
    text_ = std::move(out_);
  }

 private:
  void copy(std::size_t end) {
    out_.bytes.append(text_.bytes, done_, end - done_);
    out_.origin.insert(out_.origin.end(), text_.origin.begin() + static_cast<std::ptrdiff_t>(done_),
                       text_.origin.begin() + static_cast<std::ptrdiff_t>(end));
    done_ = end;
  }

  AlignedText& text_;
  AlignedText out_;
  std::string_view content_;
  std::size_t done_ = 0;
  bool changed_ = false;
};

/// Replaces every match of `Find`, one of splits.hpp.
template <class Find>
class Replace final : public Rewrite {
 public:
  Replace(Find find, std::string content) : find_(std::move(find)), content_(std::move(content)) {}

  void apply(AlignedText& text) const override {
    Replacing replacing(text, content_);
    find_(std::string_view(text.bytes), [&](std::size_t begin, std::size_t end) { replacing.match(begin, end); });
    replacing.finish();
  }

 private:
  Find find_;
  std::string content_;
};

/// A normalizer made of steps, one after the other.
class RewritingNormalizer final : public Normalizer {
 public:
  explicit RewritingNormalizer(std::vector<std::unique_ptr<const Rewrite>> steps) : steps_(std::move(steps)) {}

  void normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const override {
    AlignedText own;
    AlignedText& work = out.bytes.empty() ? out : own;
    work.begin = shift;
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
