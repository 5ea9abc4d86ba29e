#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/text/detail/splits.hpp"
#include "graft/text/detail/text_expression.hpp"
#include "graft/text/detail/unsupported.hpp"

namespace graft::detail {

/// Calls use(FindText) or use(FindExpression) for the pattern {"String": ...} or {"Regex": ...} of a component.
template <class Use>
auto with_pattern(const JsonFields& component, Use&& use) {
  const JsonFields pattern = component.object("pattern");
  if (!pattern.has("String")) {
    return use(named(pattern.where(), [&] { return FindExpression{TextExpression(pattern.text("Regex"))}; }));
  }
  std::string text = pattern.text("String");
  if (text.empty()) pattern.fail("String", "a text that is not empty");
  return use(FindText{std::move(text)});
}

/// Calls use(find, content) for a component that replaces.
template <class Use>
void read_replace(const JsonFields& fields, Growth& growth, Use&& use) {
  std::string content = fields.text("content");
  const JsonFields pattern = fields.object("pattern");
  growth.replace(fields, pattern.text("String", "."), content);
  with_pattern(fields, [&](auto find) { use(std::move(find), std::move(content)); });
}

inline SplitBehavior read_split_behavior(const JsonFields& fields) {
  const std::string name = fields.text("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  fields.fail("behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

}  // namespace graft::detail
