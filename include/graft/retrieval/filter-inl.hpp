#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "graft/core/utf8.hpp"
#include "graft/retrieval/filter.hpp"

namespace graft {

GRAFT_INLINE Filter Filter::comparison(Kind kind, std::string field, std::vector<FilterValue> values) {
  if (field.empty()) throw OptionError("a filter names no field; give the key of a document's metadata");
  if (const std::size_t at = find_invalid_utf8(field); at != field.npos)
    throw OptionError(message("field ", quoted(field), " of a filter is not UTF-8 at byte ", at));
  for (const FilterValue& value : values) {
    if (const auto* number = std::get_if<double>(&value); number && !std::isfinite(*number))
      throw OptionError(message("field ", quoted(field), " is compared with ", *number, "; give a finite number"));
    if (const auto* text = std::get_if<std::string>(&value))
      if (const std::size_t at = find_invalid_utf8(*text); at != text->npos)
        throw OptionError(message("field ", quoted(field), " is compared with text that is not UTF-8 at byte ", at));
  }
  Filter out(kind);
  out.field_ = std::move(field);
  out.values_ = std::move(values);
  return out;
}

GRAFT_INLINE Filter Filter::equal(std::string field, FilterValue value) {
  return comparison(Kind::equal, std::move(field), {std::move(value)});
}
GRAFT_INLINE Filter Filter::less(std::string field, FilterValue value) {
  return comparison(Kind::less, std::move(field), {std::move(value)});
}
GRAFT_INLINE Filter Filter::at_most(std::string field, FilterValue value) {
  return comparison(Kind::at_most, std::move(field), {std::move(value)});
}
GRAFT_INLINE Filter Filter::greater(std::string field, FilterValue value) {
  return comparison(Kind::greater, std::move(field), {std::move(value)});
}
GRAFT_INLINE Filter Filter::at_least(std::string field, FilterValue value) {
  return comparison(Kind::at_least, std::move(field), {std::move(value)});
}
GRAFT_INLINE Filter Filter::one_of(std::string field, std::vector<FilterValue> values) {
  return comparison(Kind::one_of, std::move(field), std::move(values));
}
GRAFT_INLINE Filter Filter::exists(std::string field) { return comparison(Kind::exists, std::move(field), {}); }

GRAFT_INLINE Filter Filter::joined(Kind kind, Filter a, Filter b) {
  if (a.kind_ != kind) {
    Filter both(kind);
    both.parts_.push_back(std::move(a));
    a = std::move(both);
  }
  a.parts_.push_back(std::move(b));
  return a;
}

GRAFT_INLINE Filter operator&&(Filter a, Filter b) {
  return Filter::joined(Filter::Kind::all, std::move(a), std::move(b));
}
GRAFT_INLINE Filter operator||(Filter a, Filter b) {
  return Filter::joined(Filter::Kind::any, std::move(a), std::move(b));
}
GRAFT_INLINE Filter operator!(Filter a) {
  Filter out(Filter::Kind::negation);
  out.parts_.push_back(std::move(a));
  return out;
}

namespace detail {

GRAFT_INLINE bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}
GRAFT_INLINE char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
GRAFT_INLINE bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != b[i]) return false;
  return true;
}
GRAFT_INLINE bool is_keyword(std::string_view word) {
  for (const std::string_view keyword : {"and", "or", "not", "in", "exists", "true", "false"})
    if (same_word(word, keyword)) return true;
  return false;
}

/// A quoted string that FilterParser reads back.
GRAFT_INLINE std::string filter_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

class FilterParser {
 public:
  explicit FilterParser(std::string_view text) : text_(text) {}

  Filter parse() {
    Filter out = any(0);
    if (skip_space(); at_ < text_.size()) fail("\"and\", \"or\" or the end is expected");
    return out;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw OptionError(message("filter ", quoted(text_), ", byte ", at_ + 1, ": ", what));
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] >= '\t' && text_[at_] <= '\r'))) ++at_;
  }

  /// The plain word that comes next, not yet taken.
  std::string_view word() {
    skip_space();
    std::size_t end = at_;
    while (end < text_.size() && is_word_byte(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }

  bool take_word(std::string_view wanted) {
    const std::string_view next = word();
    if (!same_word(next, wanted)) return false;
    at_ += next.size();
    return true;
  }

  bool take(std::string_view sign) {
    skip_space();
    if (text_.substr(at_, sign.size()) != sign) return false;
    at_ += sign.size();
    return true;
  }

  Filter any(int depth) {
    Filter out = all(depth);
    while (take_word("or")) out = std::move(out) || all(depth);
    return out;
  }

  Filter all(int depth) {
    Filter out = negation(depth);
    while (take_word("and")) out = std::move(out) && negation(depth);
    return out;
  }

  Filter negation(int depth) {
    if (depth > 64) fail("more than 64 levels of \"not\" and parentheses");
    if (take_word("not")) return !negation(depth + 1);
    if (!take("(")) return comparison();
    Filter inner = any(depth + 1);
    if (!take(")")) fail("a \")\" is missing");
    return inner;
  }

  Filter comparison() {
    std::string name = field();
    if (take_word("exists")) return Filter::exists(std::move(name));
    if (take_word("not")) {
      if (!take_word("in")) fail("\"in\" is expected after \"not\"");
      return !Filter::one_of(std::move(name), values());
    }
    if (take_word("in")) return Filter::one_of(std::move(name), values());
    if (take("!=") || take("<>")) return !Filter::equal(std::move(name), value());
    if (take("<=")) return Filter::at_most(std::move(name), value());
    if (take(">=")) return Filter::at_least(std::move(name), value());
    if (take("<")) return Filter::less(std::move(name), value());
    if (take(">")) return Filter::greater(std::move(name), value());
    if (take("==") || take("=")) return Filter::equal(std::move(name), value());
    fail("one of = != < <= > >= in exists is expected after a field");
  }

  std::string field() {
    if (std::optional<std::string> name = quoted_text()) {
      if (name->empty()) fail("a field has an empty name");
      return *std::move(name);
    }
    const std::string_view next = word();
    if (next.empty() || is_keyword(next)) fail("the name of a field is expected; write section = \"graphics\"");
    at_ += next.size();
    return std::string(next);
  }

  std::vector<FilterValue> values() {
    std::vector<FilterValue> out;
    if (!take("(")) fail("\"(\" is expected after \"in\"");
    if (take(")")) return out;
    do out.push_back(value());
    while (take(","));
    if (!take(")")) fail("\",\" or \")\" is expected");
    return out;
  }

  FilterValue value() {
    if (++values_ > 10000) fail("more than 10000 values");
    if (std::optional<std::string> text = quoted_text()) return *std::move(text);
    if (take_word("true")) return true;
    if (take_word("false")) return false;
    return number();
  }

  FilterValue number() {
    skip_space();
    std::size_t end = at_ + (at_ < text_.size() && text_[at_] == '+' ? 1 : 0);
    const std::size_t begin = end;
    while (end < text_.size() && (is_word_byte(text_[end]) || text_[end] == '+')) ++end;
    const std::string_view digits = text_.substr(begin, end - begin);
    std::int64_t whole = 0;
    double real = 0;
    const char* const last = digits.data() + digits.size();
    if (digits.empty()) fail("a value is missing; write \"text\", a number, true or false");
    if (const auto got = std::from_chars(digits.data(), last, whole); got.ec == std::errc() && got.ptr == last) {
      at_ = end;
      return whole;
    }
    const auto got = std::from_chars(digits.data(), last, real);
    if (got.ec != std::errc() || got.ptr != last || !std::isfinite(real))
      fail(message(quoted(digits, 40), " is no value; write \"text\" in quotes, a number, true or false"));
    at_ = end;
    return real;
  }

  std::optional<std::string> quoted_text() {
    skip_space();
    if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return std::nullopt;
    const char mark = text_[at_];
    std::string out;
    for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] == mark) {
        at_ = i + 1;
        return out;
      }
      if (text_[i] == '\\' && ++i == text_.size()) break;
      out += text_[i];
    }
    fail(message("the text that begins with ", mark, " has no end"));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
};

GRAFT_INLINE std::string filter_text(const FilterValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return filter_quoted(*text);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  char digits[64];
  const auto end = std::holds_alternative<double>(value)
                       ? std::to_chars(digits, digits + sizeof digits, std::get<double>(value))
                       : std::to_chars(digits, digits + sizeof digits, std::get<std::int64_t>(value));
  std::string out(digits, end.ptr);
  // 2.0 is written "2.0", so that it is not read back as a whole number.
  if (std::holds_alternative<double>(value) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

/// A field, a sign and values with commas between.
GRAFT_INLINE std::string comparison_text(std::string_view field, std::string_view sign,
                                         const std::vector<FilterValue>& values) {
  bool plain = !is_keyword(field);
  for (const char c : field) plain = plain && is_word_byte(c);
  std::string out = (plain ? std::string(field) : filter_quoted(field)).append(sign);
  for (std::size_t i = 0; i < values.size(); ++i) out.append(i > 0 ? ", " : "").append(filter_text(values[i]));
  return out;
}

}  // namespace detail

GRAFT_INLINE Filter Filter::parse(std::string_view text) { return detail::FilterParser(text).parse(); }

GRAFT_INLINE std::string Filter::text() const {
  // No parentheses but those that must be: the text of what was parsed is no deeper than what was parsed.
  const auto part_text = [&](const Filter& part) {
    const bool bare = part.parts_.size() <= 1 || (kind_ == Kind::any && part.kind_ == Kind::all);
    return bare ? part.text() : '(' + part.text() + ')';
  };
  const auto joined_by = [&](std::string_view word) {
    std::string out;
    for (const Filter& part : parts_) out.append(out.empty() ? "" : word).append(part_text(part));
    return out;
  };
  switch (kind_) {
    case Kind::equal:
      return detail::comparison_text(field_, " = ", values_);
    case Kind::less:
      return detail::comparison_text(field_, " < ", values_);
    case Kind::at_most:
      return detail::comparison_text(field_, " <= ", values_);
    case Kind::greater:
      return detail::comparison_text(field_, " > ", values_);
    case Kind::at_least:
      return detail::comparison_text(field_, " >= ", values_);
    case Kind::exists:
      return detail::comparison_text(field_, " exists", values_);
    case Kind::all:
      return joined_by(" and ");
    case Kind::any:
      return joined_by(" or ");
    case Kind::one_of:
      return detail::comparison_text(field_, " in (", values_) + ')';
    case Kind::negation:
      break;
  }
  const Filter& part = parts_[0];
  if (part.kind_ == Kind::equal) return detail::comparison_text(part.field_, " != ", part.values_);
  if (part.kind_ == Kind::one_of) return detail::comparison_text(part.field_, " not in (", part.values_) + ')';
  return "not " + part_text(part);
}

}  // namespace graft
