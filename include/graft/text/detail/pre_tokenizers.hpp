#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/text/detail/rewrites.hpp"
#include "graft/text/detail/word_patterns.hpp"
#include "graft/text/stages.hpp"

namespace graft::detail {

/// Cuts at the matches of one of the patterns of word_patterns.hpp, which cover the text.
template <class WordPattern>
class PatternPreTokenizer final : public PreTokenizer {
 public:
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    const std::string_view piece = std::string_view(text.bytes).substr(part.begin, part.end - part.begin);
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t end = WordPattern::match(piece, at);
      words.push_back({part.begin + static_cast<std::uint32_t>(at), part.begin + static_cast<std::uint32_t>(end)});
      at = end;
    }
  }
};

/// Puts a space in front unless one is there; no cut.
class PrefixSpace final : public PreTokenizer {
 public:
  bool rewrites() const override { return true; }
  void rewrite(AlignedText& part) const override {
    if (!part.bytes.starts_with(' ')) prepend(part, " ");
  }
  void split(const AlignedText&, TextRange part, std::vector<TextRange>& words) const override {
    if (part.begin < part.end) words.push_back(part);
  }
};

/// Where Metaspace puts its sign for a space in front of a text that begins without one.
enum class MetaspacePrefix : std::uint8_t { always, first, never };

/// Spaces become U+2581; with `split` each begins a word.
class Metaspace final : public PreTokenizer {
 public:
  static constexpr std::string_view sign = "\u2581";

  Metaspace(MetaspacePrefix prefix, bool split) : prefix_(prefix), split_(split) {}

  bool rewrites() const override { return true; }
  void rewrite(AlignedText& part) const override {
    spaces_.apply(part);
    if (prefix_ == MetaspacePrefix::never || part.bytes.empty() || part.bytes.starts_with(sign)) return;
    if (prefix_ == MetaspacePrefix::always || part.origin.front().begin == 0) prepend(part, sign);
  }
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    const std::string_view piece = std::string_view(text.bytes).substr(0, part.end);
    for (std::uint32_t begin = part.begin; begin < part.end;) {
      const std::size_t next = split_ ? piece.find(sign, begin + 1) : piece.npos;
      const std::uint32_t end = next == piece.npos ? part.end : static_cast<std::uint32_t>(next);
      words.push_back({begin, end});
      begin = end;
    }
  }

 private:
  Replace spaces_{" ", std::string(sign)};
  MetaspacePrefix prefix_;
  bool split_;
};

/// Words end behind each `delimiter`.
class DelimiterPreTokenizer final : public PreTokenizer {
 public:
  explicit DelimiterPreTokenizer(std::string delimiter) : delimiter_(std::move(delimiter)) {}

  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    const std::string_view piece = std::string_view(text.bytes).substr(0, part.end);
    for (std::uint32_t begin = part.begin; begin < part.end;) {
      const std::size_t found = piece.find(delimiter_, begin);
      const std::size_t end = found == piece.npos ? part.end : found + delimiter_.size();
      words.push_back({begin, static_cast<std::uint32_t>(end)});
      begin = words.back().end;
    }
  }

 private:
  std::string delimiter_;
};

/// Several, each of which cuts the words of the one before. Only the first may rewrite.
class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<const PreTokenizer>> steps) : steps_(std::move(steps)) {}

  bool rewrites() const override { return !steps_.empty() && steps_.front()->rewrites(); }
  void rewrite(AlignedText& part) const override { steps_.front()->rewrite(part); }

  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::vector<TextRange> pieces{part}, next;
    for (const auto& step : steps_) {
      next.clear();
      for (const TextRange piece : pieces) step->split(text, piece, next);
      pieces.swap(next);
    }
    words.insert(words.end(), pieces.begin(), pieces.end());
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

}  // namespace graft::detail
