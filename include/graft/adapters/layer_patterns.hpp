#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/core/ordered_map.hpp"
#include "graft/core/regular_expression.hpp"

namespace graft {

/// Values for some layers of a model, by regular expressions for the last parts of their paths: the key "query" takes
/// "query" and "layer.0.attention.query", "[01]\\.attention.*" what its words say, "^query" only the layer "query". Of
/// several keys that match a layer the first counts, as in PEFT.
template <class Value>
class PathValues {
 public:
  /// Throws OptionError for a key that RegularExpression refuses.
  explicit PathValues(const OrderedMap<Value>& values) {
    for (const auto& [key, value] : values) {
      RegularExpression{key};  // alone, so that no key reaches out of the group it is put in
      values_.push_back({key, RegularExpression("(.*\\.)?(" + key + ")"), value});
    }
  }

  /// The value for a path; nothing if no key takes it.
  std::optional<Value> find(const std::string& path) {
    for (Entry& entry : values_) {
      if (!entry.pattern.matches(path)) continue;
      entry.used = true;
      return entry.value;
    }
    return std::nullopt;
  }

  /// The keys that gave no value so far.
  std::vector<std::string> unused() const {
    std::vector<std::string> keys;
    for (const Entry& entry : values_) {
      if (!entry.used) keys.push_back(entry.key);
    }
    return keys;
  }

 private:
  struct Entry {
    std::string key;
    RegularExpression pattern;
    Value value;
    bool used = false;
  };
  std::vector<Entry> values_;
};

/// Ranks and alphas that differ by layer: PEFT's rank_pattern and alpha_pattern. Keys as PathValues reads them.
struct LayerPatterns {
  OrderedMap<std::int64_t> rank = {};
  OrderedMap<double> alpha = {};
};

namespace detail {

/// A sentence for each key of a file's patterns that gave no layer its value.
std::vector<std::string> unused_patterns(const std::vector<std::string>& ranks, const std::vector<std::string>& alphas);

/// OptionError that lists the keys, if there are any.
void refuse_unused_patterns(const std::vector<std::string>& ranks, const std::vector<std::string>& alphas);

}  // namespace detail

/// The options of each layer; rank and alpha by the patterns, where options of that kind have them. Throws OptionError
/// that lists every key which gives no layer its value.
template <class Options>
std::map<std::string, Options> options_by_layer(const std::vector<std::string>& layers, const Options& options,
                                                const LayerPatterns& patterns) {
  PathValues ranks(patterns.rank);
  PathValues alphas(patterns.alpha);
  std::map<std::string, Options> result;
  for (const std::string& path : layers) {
    Options own = options;
    if constexpr (requires { own.rank; }) own.rank = ranks.find(path).value_or(options.rank);
    if constexpr (requires { own.alpha; }) own.alpha = alphas.find(path).value_or(options.alpha);
    result.emplace(path, own);
  }
  detail::refuse_unused_patterns(ranks.unused(), alphas.unused());
  return result;
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/layer_patterns-inl.hpp"
#endif
