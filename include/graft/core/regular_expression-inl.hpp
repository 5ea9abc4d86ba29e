#pragma once

#include <utility>

#include "graft/core/detail/regular_expression_compiler.hpp"
#include "graft/core/regular_expression.hpp"

namespace graft {

GRAFT_INLINE RegularExpression::RegularExpression(std::string_view expression) : expression_(expression) {
  RegularExpressionCompiler(*this).run();
}

GRAFT_INLINE bool RegularExpression::holds(Assertion assertion, std::string_view name, std::size_t at) const {
  const auto word = [&](std::size_t i) {
    const char c = i < name.size() ? name[i] : ' ';
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  switch (assertion) {
    case Assertion::line_start:
      return at == 0;
    case Assertion::line_end:
      return at == name.size() || (at + 1 == name.size() && name[at] == '\n');
    case Assertion::text_end:
      return at == name.size();
    default:
      break;
  }
  const bool edge = (at > 0 && word(at - 1)) != word(at);
  return assertion == Assertion::word_edge ? edge : !edge && !name.empty();  // as Python before 3.14
}

GRAFT_INLINE bool RegularExpression::matches(std::string_view name) const {
  // The states from which the rest of the name, from `at` on, can be taken.
  std::vector<int> here, later;
  std::vector<bool> reached(states_.size()), reached_later(states_.size());
  for (std::size_t at = name.size();; --at) {
    here.clear();
    reached.assign(states_.size(), false);
    for (int depth = deepest_; depth >= 0; --depth) {  // what is looked for is settled before who looks
      std::size_t done = here.size();
      const auto reach = [&](int index) {
        if (reached[static_cast<std::size_t>(index)]) return;
        reached[static_cast<std::size_t>(index)] = true;
        here.push_back(index);
      };
      for (const int i : ends_) {
        if (states_[static_cast<std::size_t>(i)].depth == depth && (depth > 0 || at == name.size())) reach(i);
      }
      for (const int index : later) {
        for (const int i : before_[static_cast<std::size_t>(index)]) {
          const State& state = states_[static_cast<std::size_t>(i)];
          if (state.kind != Kind::byte || state.depth != depth) continue;
          if (sets_[state.set].test(static_cast<unsigned char>(name[at]))) reach(i);
        }
      }
      for (; done < here.size(); ++done) {
        for (const int i : before_[static_cast<std::size_t>(here[done])]) {
          const State& state = states_[static_cast<std::size_t>(i)];
          if (state.kind == Kind::split) reach(i);
          if (state.kind == Kind::assertion && holds(state.assertion, name, at)) reach(i);
          if (state.kind == Kind::look && reached[static_cast<std::size_t>(state.other)] != state.negative) reach(i);
        }
      }
    }
    if (at == 0) return reached[static_cast<std::size_t>(start_)];
    std::swap(here, later);
    if (later.empty()) return false;
  }
}

GRAFT_INLINE std::string regular_expression_of(std::string_view text) {
  std::string expression;
  for (const char c : text) {
    if (std::string_view("\\^$.*+?()[]{}|").find(c) != std::string_view::npos) expression += '\\';
    expression += c;
  }
  return expression;
}

}  // namespace graft
