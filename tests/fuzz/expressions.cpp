#include <optional>

#include "fuzz/fuzz.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/detail/text_expression.hpp"

namespace graft::fuzzing::expressions {

namespace {

/// Whether the expression takes the name; nothing if it is refused.
std::optional<bool> takes(const std::string& expression, std::string_view name) {
  try {
    return RegularExpression(expression).matches(name);
  } catch (const OptionError&) {
    return std::nullopt;
  }
}

/// Of expressions that are written otherwise and mean the same, all take a name or none does.
void fuzz_names(const std::string& expression, std::string_view name) {
  check(takes(regular_expression_of(name), name).value_or(true), "a name's own expression does not take it");
  const std::optional<bool> taken = takes(expression, name);
  if (!taken) return;
  const auto same = [&](const std::string& other, bool wanted) {
    check(takes(other, name).value_or(wanted) == wanted, "two spellings of one expression differ: " + other);
  };
  same("(?:" + expression + ")", *taken);
  same("(?:" + expression + "){1}", *taken);
  same("(?:" + expression + ")|(?:" + expression + ")", *taken);
  same("(?=(?:" + expression + R"()\Z)(?:\w|\W)*)", *taken);
  same("(?!(?:" + expression + R"()\Z)(?:\w|\W)*)", !*taken);
}

void fuzz_text(const std::string& expression, const std::string& text) {
  if (find_invalid_utf8(expression) != std::string::npos || find_invalid_utf8(text) != std::string::npos) return;
  const detail::TextExpression pattern(expression);
  std::size_t last = 0;
  for (const TextRange found : pattern.all(text)) {
    check(last <= found.begin && found.begin <= found.end && found.end <= text.size(), "matches overlap");
    const auto inside = [&](std::size_t at) { return at < text.size() && (text[at] & 0xC0) == 0x80; };
    check(!inside(found.begin) && !inside(found.end), "a match begins or ends within a character");
    last = found.end;
  }
}

}  // namespace

/// An expression, NUL, a text.
void fuzz(std::string_view input) {
  const std::string expression(cut(input)), text(input.substr(0, 300));
  if (expression.size() > 300) return;
  fuzz_names(expression, text);
  fuzz_text(expression, text);
}

}  // namespace graft::fuzzing::expressions
