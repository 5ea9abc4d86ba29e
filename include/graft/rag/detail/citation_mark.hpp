#pragma once

#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::detail {

/// A number of a mark, or a range of them.
struct CitedRange {
  std::size_t first, last;
  std::string written;
};

/// What stands at the front of a text: a mark, what may become one with more text, or neither.
struct CitationMark {
  enum class Kind { none, partial, whole } kind = Kind::none;
  std::size_t size = 0;
  std::string open, close;  ///< brackets
  std::vector<CitedRange> ranges;
  bool is_plain = false;  ///< of "[", numbers and "]", as indexes are written too
};

inline std::string range_text(std::size_t first, std::size_t last) {
  return std::to_string(first) + (first == last ? "" : "-" + std::to_string(last));
}

/// Reads the forms in which models write marks:
///   [1] [1, 2] [1; 2] [1-3] [1–3] [[1]] [^1] [^1^] [Source 1] [Sources 1 and 2] [1, p. 3] [1†source]
///   【1】 【1†L3-L5】 ［１］ 〔1〕 (Source 1)
/// A mark has at most 100 bytes, a number at most six digits.
class CitationMarkReader {
 public:
  explicit CitationMarkReader(std::string_view text) : text_(text.substr(0, kLongest)) {}

  CitationMark read() {
    CitationMark mark;
    if (read(mark)) {
      mark.kind = CitationMark::Kind::whole;
      mark.size = at_;
    } else {
      mark.kind = cut_ && text_.size() < kLongest ? CitationMark::Kind::partial : CitationMark::Kind::none;
    }
    return mark;
  }

 private:
  static constexpr std::size_t kLongest = 100;

  bool read(CitationMark& mark) {
    if (!read_open(mark)) return false;
    const bool in_parentheses = mark.open == "(";
    mark.is_plain = mark.open == "[";
    do {
      blanks();
      const std::size_t begin = at_;
      const std::optional<bool> is_source = word();
      if (is_source) mark.is_plain = false;
      if (cut_ || (in_parentheses && mark.ranges.empty() && !is_source.value_or(false))) return false;
      if (!range(mark, begin)) return false;
      blanks();
    } while (separator() && !locator());
    if (is_located_ || take("†")) {
      mark.is_plain = false;
      while (!cut_ && !peek(mark.close)) {
        if (at_ == text_.size() || std::string_view("\n[]()").find(text_[at_]) != std::string_view::npos) break;
        ++at_;
      }
    }
    return take(mark.close);
  }

  /// Whether a place in the source follows, such as "p. 3".
  bool locator() {
    blanks();
    for (const char* text : {"pp.", "p.", "pages ", "page ", "lines ", "line ", "§"})
      if (take(text)) is_located_ = true;
    return is_located_;
  }

  bool read_open(CitationMark& mark) {
    constexpr std::array<std::pair<const char*, const char*>, 6> pairs = {
        {{"[[", "]]"}, {"[", "]"}, {"【", "】"}, {"［", "］"}, {"〔", "〕"}, {"(", ")"}}};
    for (const auto& [open, close] : pairs) {
      if (!take(open)) continue;
      mark.open = open;
      mark.close = close;
      return true;
    }
    return false;
  }

  /// "Source", "doc." and the like, and what may stand behind it: true for a word that means a source wherever it
  /// stands, false for one that does so in brackets.
  std::optional<bool> word() {
    constexpr std::array<std::string_view, 4> anywhere = {"source", "sources", "quelle", "quellen"};
    constexpr std::array<std::string_view, 19> in_brackets = {
        "document", "documents", "doc",  "docs", "passage", "passages", "reference", "references", "ref",  "refs",
        "citation", "citations", "cite", "text", "texts",   "fuente",   "fuentes",   "fonte",      "fonti"};
    constexpr std::array<std::string_view, 5> in_chinese = {"来源", "文档", "资料", "文献", "出典"};
    const std::size_t begin = at_;
    std::string name;
    for (; at_ < text_.size() && ((text_[at_] | 32) >= 'a' && (text_[at_] | 32) <= 'z'); ++at_)
      name += static_cast<char>(text_[at_] | 32);
    if (at_ == text_.size()) cut_ = true;
    std::optional<bool> out;
    for (const std::string_view known : anywhere)
      if (name == known) out = true;
    for (const std::string_view known : in_brackets)
      if (name == known) out = false;
    if (name.empty())
      for (const std::string_view known : in_chinese)
        if (!out && take(known)) out = false;
    if (!out) {
      at_ = begin;
      return std::nullopt;
    }
    blanks();
    if (take(":") || take(".") || take("#") || take("：")) blanks();
    return out;
  }

  bool range(CitationMark& mark, std::size_t begin) {
    const bool is_footnote = take("^");
    const auto first = number();
    if (!first) return false;
    if (is_footnote) {
      take("^");
      mark.is_plain = false;
    }
    std::size_t end = at_;
    blanks();
    auto last = first;
    for (const char* dash : {"-", "–", "—", "‑", "‐", "−", "~", "～"}) {
      if (!take(dash)) continue;
      blanks();
      take("^");
      last = number();
      if (!last) return false;
      if (is_footnote) take("^");
      end = at_;
      break;
    }
    if (*last < *first) return false;
    mark.ranges.push_back({*first, *last, std::string(text_.substr(begin, end - begin))});
    return true;
  }

  std::optional<std::size_t> number() {
    std::size_t value = 0, digits = 0;
    for (; digits < 7; ++digits) {
      if (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
        value = 10 * value + static_cast<std::size_t>(text_[at_++] - '0');
        continue;
      }
      // "０" to "９" are EF BC 90 to EF BC 99.
      if (!peek("\xEF\xBC")) break;
      if (at_ + 2 == text_.size()) {
        cut_ = true;
        break;
      }
      const auto low = static_cast<unsigned char>(text_[at_ + 2]);
      if (low < 0x90 || low > 0x99) break;
      value = 10 * value + (low - 0x90);
      at_ += 3;
    }
    if (at_ == text_.size()) cut_ = true;
    return digits >= 1 && digits <= 6 ? std::optional(value) : std::nullopt;
  }

  bool separator() {
    for (const char* text : {",", ";", "、", "，", "；", "/", "|", "&"})
      if (take(text)) return true;
    return take("and ");
  }

  void blanks() {
    while (take(" ") || take("\u00A0") || take("\u2009") || take("\u202F") || take("\u3000")) {
    }
  }

  bool peek(std::string_view token) {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(token)) return true;
    if (token.starts_with(rest)) cut_ = true;
    return false;
  }

  bool take(std::string_view token) {
    const bool found = peek(token);
    if (found) at_ += token.size();
    return found;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool is_located_ = false;
  bool cut_ = false;  // more text might have fitted
};

/// Which numbers of a mark name a source.
struct WeighedMark {
  bool is_mark = true;  // false: zero is no number of a mark, nor is a year
  std::vector<std::size_t> known;
  std::string kept, gone;  // as lists
};

inline WeighedMark weigh(const CitationMark& mark, const std::set<std::size_t>& numbers) {
  WeighedMark out;
  const auto add_to = [](std::string& list, const std::string& text) { list += (list.empty() ? "" : ", ") + text; };
  for (const CitedRange& range : mark.ranges) {
    const auto from = numbers.lower_bound(range.first), to = numbers.upper_bound(range.last);
    const auto count = static_cast<std::size_t>(std::distance(from, to));
    if (range.first == 0 || (range.last > 999 && count == 0)) out.is_mark = false;
    out.known.insert(out.known.end(), from, to);
    if (count == range.last - range.first + 1) {
      add_to(out.kept, range.written);
    } else if (count == 0) {
      add_to(out.gone, range.written);
    } else {
      std::size_t next = range.first;
      for (auto number = from; number != to; next = *number++ + 1) {
        add_to(out.kept, std::to_string(*number));
        if (*number > next) add_to(out.gone, range_text(next, *number - 1));
      }
      if (next <= range.last) add_to(out.gone, range_text(next, range.last));
    }
  }
  return out;
}

}  // namespace graft::detail
