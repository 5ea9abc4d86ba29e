#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/code_points.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// BERT's pre-tokenizer: words end at white space, and each punctuation character is a word of its own.
class BertPreTokenizer final : public PreTokenizer {
 public:
  BertPreTokenizer() {
    for (std::uint32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = kind(table_.flags(c));
  }

  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    const char* bytes = text.bytes.data();
    std::uint32_t begin = part.begin;  // of the word that is open
    for (std::uint32_t at = part.begin; at < part.end;) {
      const auto byte = static_cast<unsigned char>(bytes[at]);
      std::uint32_t length = 1;
      Kind found;
      if (byte < 0x80) {
        found = ascii_[byte];
      } else {
        const Utf8Step step = decode_valid_utf8(bytes + at);
        length = step.length;
        found = kind(table_.flags(step.code_point));
      }
      if (found != Kind::letter) {
        if (begin < at) words.push_back({begin, at});
        if (found == Kind::punctuation) words.push_back({at, at + length});
        begin = at + length;
      }
      at += length;
    }
    if (begin < part.end) words.push_back({begin, part.end});
  }

 private:
  enum class Kind : std::uint8_t { letter, space, punctuation };

  static Kind kind(std::uint16_t flags) {
    return flags & kWhiteSpace ? Kind::space : flags & kPunctuation ? Kind::punctuation : Kind::letter;
  }

  const CodePointTable& table_ = CodePointTable::instance();
  std::array<Kind, 128> ascii_;
};

/// No pre-tokenizer: the whole text is one word.
class WholePreTokenizer final : public PreTokenizer {
 public:
  void split(const AlignedText&, TextRange part, std::vector<TextRange>& words) const override {
    if (part.begin < part.end) words.push_back(part);
  }
};

/// No normalizer: text stays as it is.
class PlainNormalizer final : public Normalizer {
 public:
  void normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const override {
    out.bytes += text;
    out.origin.reserve(out.bytes.size());
    for (std::size_t at = 0; at < text.size();) {
      const std::uint8_t length = decode_valid_utf8(text.data() + at).length;
      const auto begin = shift + static_cast<std::uint32_t>(at);
      out.origin.insert(out.origin.end(), length, {begin, begin + length});
      at += length;
    }
  }
};

}  // namespace graft::detail
