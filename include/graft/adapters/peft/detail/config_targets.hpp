#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "graft/adapters/layer_patterns.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft::detail {

/// Which layers a config's targets take, by PEFT's rules; modules_to_save aside.
class ConfigTargets {
 public:
  explicit ConfigTargets(const AdapterConfig& config) : config_(config) {
    const auto compile = [](const std::string& pattern, std::optional<RegularExpression>& compiled) {
      if (!pattern.empty() && pattern != "all-linear") compiled.emplace(pattern);
    };
    compile(config.target_modules.pattern, wanted_);
    compile(config.exclude_modules.pattern, excluded_);
  }

  bool take(const TargetCandidate& layer) const {
    if (excluded_ ? excluded_->matches(layer.name) : names_take(config_.exclude_modules.names, layer.name))
      return false;
    if (wanted_) return wanted_->matches(layer.name);
    if (config_.target_modules.pattern == "all-linear") return layer.linear && !is_output_embedding(layer.name);
    const auto& names = config_.target_modules.names;
    if (std::count(names.begin(), names.end(), layer.name) > 0) return true;
    return names_take(names, layer.name) && right_number(layer.name);
  }

 private:
  static bool names_take(const std::vector<std::string>& names, const std::string& path) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return matches_suffix(path, name); });
  }

  bool right_number(const std::string& path) const {
    const auto& numbers = config_.layers_to_transform;
    if (!numbers || numbers->empty()) return true;
    const auto in_list = [&](const std::string& list) {
      const auto number = layer_number(path, list);
      return number && std::count(numbers->begin(), numbers->end(), *number) > 0;
    };
    const auto& lists = config_.layers_pattern;
    return lists.empty() ? in_list("") : std::any_of(lists.begin(), lists.end(), in_list);
  }

  const AdapterConfig& config_;
  std::optional<RegularExpression> wanted_, excluded_;
};

}  // namespace graft::detail
