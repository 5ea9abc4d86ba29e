#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "graft/core/utf8.hpp"
#include "graft/text/detail/code_points.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

struct BertNormalizerOptions {
  bool clean_text = true;            ///< delete control characters; every white space becomes a space
  bool handle_chinese_chars = true;  ///< spaces round ideographs
  bool strip_accents = true;         ///< canonical decomposition, then delete nonspacing marks
  bool lowercase = true;             ///< character by character, of no language
};

/// BERT's normalizer as Hugging Face's tokenizers performs it, the four steps in this order.
///
/// All steps work on one character at a time, with one exception: decomposition sorts combining characters. Where
/// strip_accents deletes every one of them the order cannot be seen; where one stays (kReorders), normalize() takes the
/// slow way, which sorts as the reference does and numbers the origins as it does.
class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(BertNormalizerOptions options);

  GRAFT_INLINE void normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const override;

 private:
  struct Character {
    std::uint32_t code_point;
    TextRange origin;
  };

  void append_ascii(std::string_view text, std::uint32_t from, AlignedText& out) const;
  void append_lower(std::uint32_t c, TextRange origin, AlignedText& out) const;
  void append_stripped(std::uint32_t c, TextRange origin, AlignedText& out) const;
  void append_reordered(std::string_view text, std::uint32_t shift, AlignedText& out) const;
  std::vector<Character> cleaned(std::string_view text, std::uint32_t shift) const;

  static constexpr std::uint8_t deleted_ = 0xFF;

  BertNormalizerOptions options_;
  const CodePointTable& table_ = CodePointTable::instance();
  std::array<std::uint8_t, 128> ascii_;  // what each byte becomes
  std::uint16_t relevant_ = 0;           // a character with none of these flags stays as it is
};

inline BertNormalizer::BertNormalizer(BertNormalizerOptions options) : options_(options) {
  if (options_.clean_text) relevant_ |= kControl | kWhiteSpace;
  if (options_.handle_chinese_chars) relevant_ |= kChinese;
  if (options_.strip_accents) relevant_ |= kMark | kDecomposes | kReorders;
  if (options_.lowercase) relevant_ |= kLowers;
  for (std::uint32_t c = 0; c < 128; ++c) {
    const std::uint16_t flags = table_.flags(c) & relevant_;
    ascii_[c] = static_cast<std::uint8_t>(flags & kControl      ? deleted_
                                          : flags & kWhiteSpace ? ' '
                                          : flags & kLowers     ? c + ('a' - 'A')
                                                                : c);
  }
}

inline void BertNormalizer::normalize(std::string_view text, std::uint32_t shift, AlignedText& out) const {
  const std::size_t before = out.bytes.size();
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      const std::size_t length = ascii_length(text, at);
      append_ascii(text.substr(at, length), shift + static_cast<std::uint32_t>(at), out);
      at += length;
      continue;
    }
    const auto [c, length, valid] = decode_valid_utf8(text.data() + at);
    const auto begin = shift + static_cast<std::uint32_t>(at);
    const TextRange origin{begin, begin + length};
    at += length;
    const std::uint16_t flags = table_.flags(c) & relevant_;
    if (flags == 0) {
      out.append(c, origin);
    } else if (flags & kControl) {
      continue;
    } else if (flags & kWhiteSpace) {
      out.append(' ', origin);
    } else if (flags & kReorders) {
      out.bytes.resize(before);
      out.origin.resize(before);
      return append_reordered(text, shift, out);
    } else {
      if (flags & kChinese) out.append(' ', origin);
      append_stripped(c, origin, out);
      if (flags & kChinese) out.append(' ', origin);
    }
  }
}

inline void BertNormalizer::append_ascii(std::string_view text, std::uint32_t from, AlignedText& out) const {
  std::size_t end = out.bytes.size();
  out.bytes.resize(end + text.size());
  out.origin.resize(end + text.size());
  for (const char byte : text) {
    const std::uint8_t to = ascii_[static_cast<unsigned char>(byte)];
    out.bytes[end] = static_cast<char>(to);
    out.origin[end] = {from, from + 1};
    end += to != deleted_;
    ++from;
  }
  out.bytes.resize(end);
  out.origin.resize(end);
}

inline void BertNormalizer::append_lower(std::uint32_t c, TextRange origin, AlignedText& out) const {
  if (!options_.lowercase || !(table_.flags(c) & kLowers)) return out.append(c, origin);
  for (const std::uint32_t lower : CodePointTable::lower_case(c)) {
    if (lower != 0) out.append(lower, origin);
  }
}

inline void BertNormalizer::append_stripped(std::uint32_t c, TextRange origin, AlignedText& out) const {
  const std::uint16_t flags = table_.flags(c) & relevant_;
  if (flags & kMark) return;
  if (!(flags & kDecomposes)) return append_lower(c, origin, out);
  for (const std::uint32_t part : CodePointTable::decomposition(c)) {
    if (part != 0 && !(table_.flags(part) & kMark)) append_lower(part, origin, out);
  }
}

inline std::vector<BertNormalizer::Character> BertNormalizer::cleaned(std::string_view text,
                                                                      std::uint32_t shift) const {
  std::vector<Character> out;
  out.reserve(text.size());
  for (std::uint32_t at = 0; at < text.size();) {
    const auto [c, length, valid] = decode_valid_utf8(text.data() + at);
    const TextRange origin{shift + at, shift + at + length};
    at += length;
    const std::uint16_t flags = table_.flags(c) & relevant_;
    if (flags & kControl) continue;
    if (flags & kChinese) out.push_back({' ', origin});
    out.push_back({flags & kWhiteSpace ? U' ' : c, origin});
    if (flags & kChinese) out.push_back({' ', origin});
  }
  return out;
}

inline void BertNormalizer::append_reordered(std::string_view text, std::uint32_t shift, AlignedText& out) const {
  struct Part {
    std::uint32_t code_point;
    std::uint32_t combining_class;
    bool added;  // not the first of its decomposition
  };
  const std::vector<Character> source = cleaned(text, shift);
  std::vector<Part> parts;
  parts.reserve(source.size());
  for (const Character& character : source) {
    CodePoints decomposition{character.code_point};
    if (table_.flags(character.code_point) & kDecomposes) {
      decomposition = CodePointTable::decomposition(character.code_point);
    }
    for (std::size_t i = 0; i < decomposition.size() && (i == 0 || decomposition[i] != 0); ++i) {
      const std::uint32_t c = decomposition[i];
      parts.push_back({c, table_.flags(c) & kCombines ? CodePointTable::combining_class(c) : 0, i > 0});
    }
  }
  for (auto run = parts.begin(); run != parts.end();) {
    const auto combines = [](const Part& part) { return part.combining_class != 0; };
    const auto begin = std::find_if(run, parts.end(), combines);
    run = std::find_if_not(begin, parts.end(), combines);
    std::stable_sort(begin, run, [](const Part& a, const Part& b) { return a.combining_class < b.combining_class; });
  }
  // The reference takes origins in the order of the source, whatever the sort moved; an added part shares the last one.
  std::size_t next = 0;
  for (const Part& part : parts) {
    const TextRange origin = !part.added ? source[next++].origin
                             : next > 0  ? source[next - 1].origin
                                         : TextRange{shift, shift};
    if (!(table_.flags(part.code_point) & kMark)) append_lower(part.code_point, origin, out);
  }
}

}  // namespace graft::detail
