#pragma once

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/regular_expression.hpp"

namespace graft {

/// Reads an expression by recursive descent and lays out its states, each part before what follows it.
class RegularExpressionCompiler {
 public:
  explicit RegularExpressionCompiler(RegularExpression& result) : result_(result), text_(result.expression_) {
    if (text_.size() > longest) {
      throw OptionError(message("a regular expression has ", text_.size(), " bytes; at most ", longest, " are read"));
    }
  }

  void run() {
    const Part all = alternatives(0);
    if (at_ < text_.size()) fail(at_, "\")\" closes no group");
    result_.start_ = lay_out(all, add({.kind = StateKind::accept}), 0);
    result_.before_.resize(result_.states_.size());
    for (int i = 0; i < static_cast<int>(result_.states_.size()); ++i) {
      const State& state = result_.states_[static_cast<std::size_t>(i)];
      if (state.kind == StateKind::accept) result_.ends_.push_back(i);
      if (state.next >= 0) result_.before_[static_cast<std::size_t>(state.next)].push_back(i);
      if (state.kind == StateKind::split) result_.before_[static_cast<std::size_t>(state.other)].push_back(i);
    }
  }

 private:
  using State = RegularExpression::State;
  using StateKind = RegularExpression::Kind;
  using Assertion = RegularExpression::Assertion;

  static constexpr std::size_t longest = 65'536;
  static constexpr std::size_t most_states = 10'000;
  static constexpr int most_groups = 100;
  static constexpr int most_looks = 4;
  static constexpr std::uint32_t endless = UINT32_MAX;

  using Bytes = std::bitset<256>;

  struct Part {
    enum class Kind { set, sequence, either, repeated, assertion, look } kind = Kind::sequence;
    std::vector<Part> parts = {};
    std::size_t set = 0;
    std::uint32_t least = 0, most = 0;
    Assertion assertion = Assertion::text_end;
    bool negative = false;
  };

  [[noreturn]] void fail(std::size_t at, std::string_view what) const {
    throw OptionError(message("regular expression ", quoted(text_), ", character ", at, ": ", what));
  }

  [[noreturn]] void refuse(std::size_t at, std::string_view what) const {
    fail(at, message(what, " not understood here; write the expression without"));
  }

  bool more() const { return at_ < text_.size(); }
  bool follows(std::string_view wanted) const { return text_.substr(at_).starts_with(wanted); }
  bool take(std::string_view wanted) {
    if (!follows(wanted)) return false;
    at_ += wanted.size();
    return true;
  }

  Part alternatives(int depth) {
    Part either{.kind = Part::Kind::either};
    do {
      either.parts.push_back(sequence(depth));
    } while (take("|"));
    return either.parts.size() == 1 ? std::move(either.parts.front()) : std::move(either);
  }

  Part sequence(int depth) {
    Part all;
    while (more() && !follows("|") && !follows(")")) {
      const std::size_t from = at_;
      if (const auto times = repetition()) {
        if (all.parts.empty() || all.parts.back().kind == Part::Kind::assertion)
          fail(from, "there is nothing to repeat");
        if (all.parts.back().kind == Part::Kind::repeated) fail(from, "a repetition is repeated; put it in a group");
        if (follows("+")) refuse(at_, "possessive repetition is");
        take("?");  // lazy: prefers fewer, takes the same names
        Part repeated{.kind = Part::Kind::repeated, .least = times->first, .most = times->second};
        repeated.parts.push_back(std::move(all.parts.back()));
        all.parts.back() = std::move(repeated);
      } else {
        all.parts.push_back(atom(depth));
      }
    }
    return all;
  }

  /// A repetition's bounds; nothing, and nothing read, where none stands. A "{" that starts none is a character.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> repetition() {
    if (take("*")) return std::pair(0u, endless);
    if (take("+")) return std::pair(1u, endless);
    if (take("?")) return std::pair(0u, 1u);
    const std::size_t from = at_;
    if (!take("{") || follows("}")) {
      at_ = from;
      return std::nullopt;
    }
    const auto least = number();
    const bool comma = take(",");
    const auto most = comma ? number() : least;
    if (!take("}")) {
      at_ = from;
      return std::nullopt;
    }
    const std::pair bounds(least.value_or(0), most.value_or(endless));
    if (bounds.second < bounds.first) fail(from, "the least of a repetition is more than its most");
    return bounds;
  }

  std::optional<std::uint32_t> number() {
    if (!more() || text_[at_] < '0' || text_[at_] > '9') return std::nullopt;
    std::uint32_t value = 0;
    for (; more() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<std::uint32_t>(text_[at_] - '0');
      if (value > most_states) fail(at_, message("more than ", most_states, " repetitions are asked for"));
    }
    return value;
  }

  Part atom(int depth) {
    const std::size_t from = at_;
    if (take("(")) return group(from, depth);
    if (take("[")) return one_of(byte_class(from));
    if (take(".")) return one_of(~Bytes().set('\n'));
    if (take("^") || take("\\A")) return assertion(Assertion::line_start);
    if (take("$")) return assertion(Assertion::line_end);
    if (take("\\Z")) return assertion(Assertion::text_end);
    if (take("\\b")) return assertion(Assertion::word_edge);
    if (take("\\B")) return assertion(Assertion::no_word_edge);
    return one_of(byte());
  }

  Part group(std::size_t from, int depth) {
    if (depth == most_groups) fail(from, message("groups are nested deeper than ", most_groups));
    Part look{.kind = Part::Kind::look};
    const bool looks = follows("?=") || follows("?!");
    if (take("?P<")) {
      while (more() && text_[at_] != '>' && text_[at_] != ')') ++at_;
      if (!take(">")) fail(from, "the name of a group is not closed");
    } else if (looks) {
      look.negative = follows("?!");
      at_ += 2;
    } else if (!take("?:") && follows("?")) {
      if (follows("?<=") || follows("?<!")) refuse(from, "lookbehind is");
      if (follows("?>")) refuse(from, "an atomic group is");
      if (follows("?P=") || follows("?(")) refuse(from, "a back reference is");
      refuse(from, "this kind of group is");
    }
    Part inner = alternatives(depth + 1);
    if (!take(")")) fail(from, "\"(\" is not closed");
    if (!looks) return inner;
    look.parts.push_back(std::move(inner));
    return look;
  }

  Part one_of(const Bytes& bytes) {
    result_.sets_.push_back(bytes);
    return {.kind = Part::Kind::set, .set = result_.sets_.size() - 1};
  }

  static Part assertion(Assertion kind) { return {.kind = Part::Kind::assertion, .assertion = kind}; }

  static Bytes range(unsigned char first, unsigned char last) {
    Bytes bytes;
    for (unsigned value = first; value <= last; ++value) bytes.set(value);
    return bytes;
  }

  /// One character, or one of the classes written with a letter.
  Bytes byte() {
    const std::size_t from = at_;
    const auto c = static_cast<unsigned char>(text_[at_++]);
    if (c >= 0x80) refuse(from, "a character outside ASCII is");
    if (c != '\\') return Bytes().set(c);
    if (!more()) fail(from, "the escape is cut short");
    const auto escaped = static_cast<unsigned char>(text_[at_++]);
    const Bytes digits = range('0', '9');
    const Bytes letters = digits | range('a', 'z') | range('A', 'Z') | Bytes().set('_');
    const Bytes spaces = range('\t', '\r') | range(0x1c, 0x1f) | Bytes().set(' ');
    switch (escaped) {
      case 'd':
        return digits;
      case 'D':
        return ~digits;
      case 'w':
        return letters;
      case 'W':
        return ~letters;
      case 's':
        return spaces;
      case 'S':
        return ~spaces;
      case 'n':
        return Bytes().set('\n');
      case 't':
        return Bytes().set('\t');
      case 'r':
        return Bytes().set('\r');
      case 'f':
        return Bytes().set('\f');
      case 'v':
        return Bytes().set('\v');
      case 'a':
        return Bytes().set('\a');
      default:
        break;
    }
    if (escaped >= '1' && escaped <= '9') refuse(from, "a back reference is");
    if (letters.test(escaped) || escaped >= 0x80) refuse(from, "this escape is");
    return Bytes().set(escaped);
  }

  Bytes class_byte() {
    if (take("\\b")) return Bytes().set('\b');
    return byte();
  }

  Bytes byte_class(std::size_t from) {
    const bool negative = take("^");
    Bytes bytes;
    for (bool first = true; first || !follows("]"); first = false) {
      if (!more()) fail(from, "\"[\" is not closed");
      const std::size_t at = at_;
      const Bytes low = class_byte();
      bytes |= low;
      if (!follows("-") || text_.substr(at_).starts_with("-]")) continue;
      ++at_;
      if (!more()) fail(from, "\"[\" is not closed");
      const Bytes high = class_byte();
      if (low.count() != 1 || high.count() != 1) fail(at, "a range must go from one character to another");
      std::size_t first_byte = 0, last_byte = 0;
      while (!low.test(first_byte)) ++first_byte;
      while (!high.test(last_byte)) ++last_byte;
      if (last_byte < first_byte) fail(at, "a range goes backwards");
      bytes |= range(static_cast<unsigned char>(first_byte), static_cast<unsigned char>(last_byte));
    }
    ++at_;
    return negative ? ~bytes : bytes;
  }

  int add(const State& state) {
    if (result_.states_.size() == most_states) {
      throw OptionError(
          message("regular expression ", quoted(text_), " takes more than ", most_states, " states; repeat less"));
    }
    result_.states_.push_back(state);
    return static_cast<int>(result_.states_.size()) - 1;
  }

  State& state(int index) { return result_.states_[static_cast<std::size_t>(index)]; }

  /// Adds the states of `part` in front of state `next`; gives the first of them.
  int lay_out(const Part& part, int next, int depth) {
    switch (part.kind) {
      case Part::Kind::set:
        return add({StateKind::byte, next, -1, depth, part.set});
      case Part::Kind::assertion:
        return add({StateKind::assertion, next, -1, depth, 0, part.assertion});
      case Part::Kind::sequence:
        for (auto inner = part.parts.rbegin(); inner != part.parts.rend(); ++inner) next = lay_out(*inner, next, depth);
        return next;
      case Part::Kind::either: {
        int first = lay_out(part.parts.back(), next, depth);
        for (std::size_t i = part.parts.size() - 1; i-- > 0;) {
          const int start = lay_out(part.parts[i], next, depth);
          first = add({StateKind::split, start, first, depth});
        }
        return first;
      }
      case Part::Kind::repeated:
        return lay_out_repeated(part, next, depth);
      case Part::Kind::look: {
        if (depth == most_looks) fail(text_.size(), message("lookahead is nested deeper than ", most_looks));
        result_.deepest_ = std::max(result_.deepest_, depth + 1);
        const int end = add({.kind = StateKind::accept, .depth = depth + 1});
        const int start = lay_out(part.parts.front(), end, depth + 1);
        return add({StateKind::look, next, start, depth, 0, Assertion::text_end, part.negative});
      }
    }
    return next;
  }

  int lay_out_repeated(const Part& part, int next, int depth) {
    const Part& inner = part.parts.front();
    if (part.most == endless) {
      const int loop = add({StateKind::split, -1, next, depth});
      const int body = lay_out(inner, loop, depth);
      state(loop).next = body;
      next = loop;
    } else {
      const int after = next;
      for (std::uint32_t i = part.least; i < part.most; ++i) {
        const int body = lay_out(inner, next, depth);
        next = add({StateKind::split, body, after, depth});
      }
    }
    for (std::uint32_t i = 0; i < part.least; ++i) {
      const std::size_t before = result_.states_.size();
      next = lay_out(inner, next, depth);
      if (result_.states_.size() == before) break;  // of nothing, once is as good as often
    }
    return next;
  }

  RegularExpression& result_;
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace graft
