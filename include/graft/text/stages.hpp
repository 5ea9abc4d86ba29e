#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/text_range.hpp"

namespace graft {

class Vocabulary;

/// Text on its way through a tokenizer, each byte with the range of the original text that it came from.
struct AlignedText {
  std::string bytes;
  std::vector<TextRange> origin;  ///< as long as `bytes`
  std::uint32_t begin = 0;        ///< where in the original text it begins

  /// What comes in addition, in front of byte `at`, has the origin of what stands before that.
  TextRange origin_before(std::size_t at) const { return at > 0 ? origin[at - 1] : TextRange{begin, begin}; }

  void clear() {
    bytes.clear();
    origin.clear();
  }
  void append(char32_t c, TextRange from) {
    append_utf8(bytes, c);
    origin.resize(bytes.size(), from);
  }
  /// Where bytes [range.begin, range.end), at least one, came from.
  TextRange origin_of(TextRange range) const { return {origin[range.begin].begin, origin[range.end - 1].end}; }
};

/// A piece of a text with its number in the vocabulary.
struct Token {
  std::int32_t id = 0;
  TextRange range;
};

/// First stage of a tokenizer: one spelling for what should count as the same.
/// All stages are immutable: every member function may run on many threads at once.
class Normalizer {
 public:
  virtual ~Normalizer() = default;

  /// Adds to `out` the normal form of `text`, which is UTF-8 and begins at byte `shift` of the original.
  virtual void normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const = 0;
};

/// Second stage: cuts normalized text into words, which the model then looks at one by one.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;

  /// Whether rewrite() does anything.
  virtual bool rewrites() const { return false; }

  /// Changes a part of a text before split() sees it as a text of its own, such as by putting a space in front.
  virtual void rewrite(AlignedText&) const {}

  /// Adds to `words` those within `part` of `text`, as ranges of `text`, none empty.
  virtual void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const = 0;

  /// Of a text of its own: rewrites it, then adds its words.
  virtual void cut(AlignedText& text, std::vector<TextRange>& words) const {
    rewrite(text);
    split(text, {0, static_cast<std::uint32_t>(text.bytes.size())}, words);
  }
};

/// Third stage: a word becomes the ids of its pieces.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;

  /// Adds to `tokens` those of each word, with their ranges in `text`.
  virtual void encode(std::string_view text, std::span<const TextRange> words, std::vector<Token>& tokens) const = 0;

  virtual const Vocabulary& vocabulary() const = 0;

  /// Whether a token of that id is spelled as the text that it stands for, and not as it is in the vocabulary.
  virtual bool spelled_as_text(std::int32_t) const { return false; }
};

/// From tokens back to text.
class Decoder {
 public:
  virtual ~Decoder() = default;

  virtual std::string decode(std::span<const std::string_view> tokens) const = 0;
};

}  // namespace graft
