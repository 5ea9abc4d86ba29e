#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/text/detail/rewrites.hpp"
#include "graft/text/detail/splits.hpp"
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

/// Changes the text as a step of a normalizer does; no cut.
class RewritePreTokenizer final : public PreTokenizer {
 public:
  explicit RewritePreTokenizer(std::unique_ptr<const Rewrite> step) : step_(std::move(step)) {}
  bool rewrites() const override { return true; }
  void rewrite(AlignedText& part) const override { step_->apply(part); }
  void split(const AlignedText&, TextRange part, std::vector<TextRange>& words) const override {
    if (part.begin < part.end) words.push_back(part);
  }

 private:
  std::unique_ptr<const Rewrite> step_;
};

/// Puts a space in front unless one is there.
class PrefixSpace final : public Rewrite {
 public:
  void apply(AlignedText& text) const override {
    if (!text.bytes.starts_with(' ')) prepend(text, " ");
  }
};

/// Runs of word characters and runs of what is neither that nor white space: \w+|[^\w\s]+.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::uint16_t open = 0;  // kWord or kWhiteSpace: of what kind the run is
    std::uint32_t begin = part.begin;
    const auto end = [&](std::uint32_t at) {
      if (begin < at && open != kWhiteSpace) words.push_back({begin, at});
      begin = at;
    };
    for (std::uint32_t at = part.begin; at < part.end;) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      const std::uint16_t kind = CodePointTable::instance().flags(step.code_point) & (kWord | kWhiteSpace);
      if (kind != open) end(at);
      open = kind;
      at += step.length;
    }
    end(part.end);
  }
};

/// Words end where the script changes; kana and ideographs count as one.
class ScriptPreTokenizer final : public PreTokenizer {
 public:
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::uint32_t begin = part.begin, last = 0;  // 0: any script
    bool first = true;
    for (std::uint32_t at = part.begin; at < part.end;) {
      const Utf8Step step = decode_valid_utf8(text.bytes.data() + at);
      const std::uint32_t script = CodePointTable::script(step.code_point);
      if (script != 0 && (first || script != last)) {
        // What stands before the first script is in no word, as in the reference.
        if (!first && begin < at) words.push_back({begin, at});
        begin = at;
        first = false;
      }
      if (script != 0) last = script;
      at += step.length;
    }
    if (!first && begin < part.end) words.push_back({begin, part.end});
  }
};

/// Words of so many characters; the last may be shorter.
class FixedLengthPreTokenizer final : public PreTokenizer {
 public:
  explicit FixedLengthPreTokenizer(std::size_t length) : length_(length) {}
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::uint32_t begin = part.begin;
    std::size_t count = 0;
    for (std::uint32_t at = part.begin; at < part.end;) {
      at += decode_valid_utf8(text.bytes.data() + at).length;
      if (++count < length_ && at < part.end) continue;
      words.push_back({begin, at});
      begin = at;
      count = 0;
    }
  }

 private:
  std::size_t length_;
};

/// Where Metaspace puts its sign for a space in front of a text that begins without one.
enum class MetaspacePrefix : std::uint8_t { always, first, never };

/// Spaces become a sign, usually U+2581; with `split` each begins a word.
class Metaspace final : public PreTokenizer {
 public:
  static constexpr std::string_view sign = "\u2581";

  Metaspace(std::string replacement, MetaspacePrefix prefix, bool split)
      : sign_(std::move(replacement)), spaces_(FindText{" "}, sign_), prefix_(prefix), split_(split) {}

  bool rewrites() const override { return true; }
  void rewrite(AlignedText& part) const override {
    spaces_.apply(part);
    if (prefix_ == MetaspacePrefix::never || part.bytes.empty() || part.bytes.starts_with(sign_)) return;
    if (prefix_ == MetaspacePrefix::always || part.origin.front().begin == 0) prepend(part, sign_);
  }
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    if (part.begin == part.end) return;
    if (!split_) return words.push_back(part);
    SplitPreTokenizer(FindText{sign_}, SplitBehavior::merged_with_next).split(text, part, words);
  }

 private:
  std::string sign_;
  Replace<FindText> spaces_;
  MetaspacePrefix prefix_;
  bool split_;
};

/// Several, each of which cuts the words of the one before.
class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<const PreTokenizer>> steps) : steps_(std::move(steps)) {}

  bool rewrites() const override {
    return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->rewrites(); });
  }

  /// Only where no step rewrites.
  void split(const AlignedText& text, TextRange part, std::vector<TextRange>& words) const override {
    std::vector<TextRange> pieces{part}, next;
    for (const auto& step : steps_) {
      next.clear();
      for (const TextRange piece : pieces) step->split(text, piece, next);
      pieces.swap(next);
    }
    words.insert(words.end(), pieces.begin(), pieces.end());
  }

  void cut(AlignedText& text, std::vector<TextRange>& words) const override {
    std::vector<TextRange> pieces{{0, static_cast<std::uint32_t>(text.bytes.size())}}, next;
    AlignedText all, one;
    for (const auto& step : steps_) {
      next.clear();
      if (!step->rewrites()) {
        for (const TextRange piece : pieces) step->split(text, piece, next);
      } else {
        all.clear();
        for (const TextRange piece : pieces) {
          one.bytes.assign(text.bytes, piece.begin, piece.end - piece.begin);
          one.origin.assign(text.origin.begin() + piece.begin, text.origin.begin() + piece.end);
          const auto before = static_cast<std::uint32_t>(all.bytes.size());
          const std::size_t known = next.size();
          step->cut(one, next);
          for (std::size_t i = known; i < next.size(); ++i) next[i] = {next[i].begin + before, next[i].end + before};
          all.bytes += one.bytes;
          all.origin.insert(all.origin.end(), one.origin.begin(), one.origin.end());
          if (all.bytes.size() > UINT32_MAX) throw OptionError("a text grows beyond 4 GiB; encode less at once");
        }
        std::swap(text, all);
      }
      pieces.swap(next);
    }
    words.insert(words.end(), pieces.begin(), pieces.end());
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

}  // namespace graft::detail
