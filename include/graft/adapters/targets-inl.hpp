#pragma once

#include <algorithm>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "graft/adapters/targets.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {
namespace detail {

/// Levenshtein's distance: how many letters must be added, dropped or replaced.
GRAFT_INLINE std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

GRAFT_INLINE std::string_view last_parts(std::string_view path, std::size_t count) {
  std::size_t at = path.size();
  while (count-- > 0) {
    at = at == 0 ? std::string_view::npos : path.rfind('.', at - 1);
    if (at == std::string_view::npos) return path;
  }
  return path.substr(at + 1);
}

/// Up to three endings of `names`, as long in parts as `wanted`, that are nearest to it.
GRAFT_INLINE std::vector<std::string> nearest(std::string_view wanted, const std::vector<std::string>& names) {
  constexpr std::size_t longest = 200;  // a longer name is not a typing error, and the distance costs its square
  wanted = wanted.substr(0, longest);
  const auto parts = static_cast<std::size_t>(std::count(wanted.begin(), wanted.end(), '.')) + 1;
  std::set<std::pair<std::size_t, std::string>> found;
  for (const std::string& name : names) {
    const std::string_view ending = last_parts(name, parts).substr(0, longest);
    found.emplace(edit_distance(wanted, ending), ending);
  }
  std::vector<std::string> result;
  for (const auto& [distance, name] : found) {
    if (result.size() == 3) break;
    result.push_back(quoted(name));
  }
  return result;
}

GRAFT_INLINE std::optional<std::int64_t> layer_number(std::string_view name, std::string_view list) {
  std::string_view before;
  while (true) {
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view part = name.substr(0, dot);
    const bool number = !part.empty() && part.size() < 10 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number && !before.empty() && (list.empty() || before == list)) {
      std::int64_t value = 0;
      for (const char c : part) value = 10 * value + (c - '0');
      return value;
    }
    before = part;
    name.remove_prefix(dot + 1);
  }
}

GRAFT_INLINE bool within(std::string_view name, std::string_view module) {
  return name == module || (name.size() > module.size() && name.starts_with(module) && name[module.size()] == '.');
}

GRAFT_INLINE bool is_output_embedding(std::string_view name) {
  return matches_suffix(name, "lm_head") || matches_suffix(name, "embed_out") ||
         matches_suffix(name, "predictions.decoder");
}

class Matcher {
 public:
  Matcher(const Targets& targets, std::span<const TargetCandidate> modules) : targets_(targets), modules_(modules) {
    for (const auto& module : modules) {
      if (module.adaptable) adaptable_.push_back(module.name);
    }
  }

  TargetReport run() {
    check_kinds();
    find_heads();
    std::set<std::string> excluded;
    for (const std::string& pattern : targets_.excluded) {
      bool used = false;
      for (const std::string& name : adaptable_) {
        if (matches_suffix(name, pattern)) used = excluded.insert(name).second || used;
      }
      if (!used) fault("exclusion", pattern, adaptable_);
    }
    if (!targets_.excluded_pattern.empty()) {
      const RegularExpression expression(targets_.excluded_pattern);
      bool used = false;
      for (const std::string& name : adaptable_) {
        if (expression.matches(name)) used = excluded.insert(name).second || used;
      }
      if (!used) fault("exclusion", targets_.excluded_pattern, {});
    }
    std::set<std::string> taken;
    std::set<std::string> spared;
    std::vector<std::string> patterns = targets_.layers;
    if (!targets_.pattern.empty()) patterns.push_back(targets_.pattern);
    for (const std::string& pattern : patterns) {
      TargetReport::Pattern result{pattern, {}};
      std::size_t outside = 0;
      for (const auto& module : modules_) {
        const bool wanted =
            expression_ ? module.adaptable && expression_->matches(module.name) : takes(pattern, module);
        if (!wanted || in_head(module.name)) continue;
        if (excluded.count(module.name)) {
          spared.insert(module.name);
        } else if (!right_number(module.name)) {
          ++outside;
        } else {
          result.layers.push_back(module.name);
          taken.insert(module.name);
        }
      }
      if (result.layers.empty()) no_layer(pattern, outside, spared);
      report_.patterns.push_back(std::move(result));
    }
    check_numbers(taken);
    if (!faults_.empty()) {
      std::string text = "targets do not fit the model; nothing was changed:";
      for (const std::string& line : faults_) text += "\n  " + line;
      throw OptionError(text);
    }
    for (const std::string& name : adaptable_) {
      if (taken.count(name)) report_.layers.push_back(name);
      if (spared.count(name)) report_.excluded.push_back(name);
    }
    return std::move(report_);
  }

 private:
  void check_kinds() {
    if (targets_.layers.empty() && targets_.pattern.empty()) {
      throw OptionError("no target was named; give layer names such as \"query\", or \"all-linear\"");
    }
    if (targets_.pattern.empty()) return;
    if (!targets_.layers.empty()) throw OptionError("targets are named by a list and by a pattern; give one of them");
    if (!targets_.layer_numbers.empty()) {
      throw OptionError("layer numbers narrow a list of targets, not a pattern; write them into the pattern");
    }
    expression_.emplace(targets_.pattern);
  }

  static bool takes(const std::string& pattern, const TargetCandidate& module) {
    if (!module.adaptable) return false;
    if (pattern == "all-linear") return module.linear && !is_output_embedding(module.name);
    return matches_suffix(module.name, pattern);
  }

  bool in_head(std::string_view name) const {
    return std::any_of(report_.heads.begin(), report_.heads.end(),
                       [&](const std::string& head) { return within(name, head); });
  }

  bool right_number(std::string_view name) const {
    if (targets_.layer_numbers.empty()) return true;
    const auto number = layer_number(name, targets_.layer_list);
    return number && std::count(targets_.layer_numbers.begin(), targets_.layer_numbers.end(), *number) > 0;
  }

  void find_heads() {
    static const std::vector<std::string> usual(std::begin(peft_names::usual_heads), std::end(peft_names::usual_heads));
    std::vector<std::string> names;
    for (const auto& module : modules_) names.push_back(module.name);
    for (const std::string& pattern : targets_.heads.value_or(usual)) {
      bool used = false;
      for (const std::string& name : names) {
        if (!matches_suffix(name, pattern)) continue;
        used = true;
        if (!in_head(name)) report_.heads.push_back(name);
      }
      if (!used && targets_.heads) fault("head", pattern, names);
    }
    for (const std::string& weight : targets_.drawn) {
      const std::string module = weight.substr(0, std::min(weight.size(), weight.rfind('.')));
      if (std::find(names.begin(), names.end(), module) == names.end()) fault("drawn weight", weight, names);
      if (!in_head(module)) report_.heads.push_back(module);
    }
  }

  void fault(std::string_view kind, const std::string& pattern, const std::vector<std::string>& names) {
    std::string line = message(kind, " ", quoted(pattern), " matches nothing");
    const auto near = nearest(pattern, names);
    for (std::size_t i = 0; i < near.size(); ++i) line += (i == 0 ? "; nearest: " : ", ") + near[i];
    faults_.push_back(line);
  }

  void no_layer(const std::string& pattern, std::size_t outside, const std::set<std::string>& spared) {
    if (outside > 0) {
      faults_.push_back(message("target ", quoted(pattern), " matches ", outside,
                                " layers, none of them inside the chosen layer numbers"));
      return;
    }
    for (const std::string& name : spared) {
      if (expression_ ? !expression_->matches(name) : !matches_suffix(name, pattern) && pattern != "all-linear")
        continue;
      faults_.push_back(message("target ", quoted(pattern), " matches only layers that are excluded"));
      return;
    }
    if (expression_) {
      faults_.push_back(message("target pattern ", quoted(pattern),
                                " takes no layer; it must match a whole path, such as ",
                                adaptable_.empty() ? std::string("none here") : quoted(adaptable_.front())));
      return;
    }
    for (const auto& module : modules_) {
      if (!matches_suffix(module.name, pattern)) continue;
      faults_.push_back(
          message("target ", quoted(pattern), " matches ", quoted(module.name), ", which ",
                  in_head(module.name) ? "is a head and trained in full" : "is not a layer that takes an adapter"));
      return;
    }
    fault("target", pattern, adaptable_);
  }

  void check_numbers(const std::set<std::string>& taken) {
    for (const std::int64_t wanted : targets_.layer_numbers) {
      const bool used = std::any_of(taken.begin(), taken.end(), [&](const std::string& name) {
        return layer_number(name, targets_.layer_list) == wanted;
      });
      if (used) continue;
      std::int64_t most = -1;
      for (const std::string& name : adaptable_) {
        most = std::max(most, layer_number(name, targets_.layer_list).value_or(-1));
      }
      faults_.push_back(message("layer number ", wanted, " holds no target; ",
                                most < 0 ? message("no layer lies in a list",
                                                   targets_.layer_list.empty() ? "" : " called ", targets_.layer_list)
                                         : message("the model has 0 to ", most)));
    }
  }

  const Targets& targets_;
  std::span<const TargetCandidate> modules_;
  std::optional<RegularExpression> expression_;  // of Targets::pattern
  std::vector<std::string> adaptable_;
  std::vector<std::string> faults_;
  TargetReport report_;
};

}  // namespace detail

GRAFT_INLINE TargetReport match(const Targets& targets, std::span<const TargetCandidate> modules) {
  return detail::Matcher(targets, modules).run();
}

GRAFT_INLINE std::string TargetReport::table() const {
  std::string text;
  for (const Pattern& pattern : patterns) {
    text += message(quoted(pattern.pattern), ": ", pattern.layers.size(),
                    pattern.layers.size() == 1 ? " layer, " : " layers, ", pattern.layers.front());
    if (pattern.layers.size() > 1) text += message(" ... ", pattern.layers.back());
    text += '\n';
  }
  if (!excluded.empty()) text += message("excluded: ", excluded.size(), "\n");
  for (const std::string& head : heads) text += message("trained in full: ", head, "\n");
  return text;
}

}  // namespace graft

namespace graft {

GRAFT_INLINE bool matches_suffix(std::string_view name, std::string_view pattern) {
  if (name == pattern) return true;
  return name.size() > pattern.size() && name.ends_with(pattern) && name[name.size() - pattern.size() - 1] == '.';
}

}  // namespace graft
