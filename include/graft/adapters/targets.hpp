#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// Which layers of a model get an adapter, and which modules are trained in full beside them.
///
///   Targets{.layers = {"query", "value"}}                     every layer of that name
///   Targets{.layers = {"output.dense"}, .layer_numbers = {10, 11}}
///   Targets{.layers = {"all-linear"}, .excluded = {"pooler.dense"}}
struct Targets {
  /// A pattern takes the layers whose path is the pattern or ends with ".pattern". "all-linear" takes every linear
  /// layer that is not an output embedding (`lm_head`, `embed_out`, `predictions.decoder`). Heads are never taken.
  std::vector<std::string> layers = {};

  /// Not empty: takes the layers whose whole path it takes, a regular expression as RegularExpression reads it, instead
  /// of `layers`. Not together with layer_numbers, as in PEFT.
  std::string pattern = {};

  /// Matched as `layers` are; wins over what takes layers.
  std::vector<std::string> excluded = {};

  /// The same by a regular expression over the whole path.
  std::string excluded_pattern = {};

  /// Not empty: only layers inside these members of the model's layer list, counted from 0.
  std::vector<std::int64_t> layer_numbers = {};

  /// The name of that list ("layer", "h"); empty: the first number in a path counts.
  std::string layer_list = {};

  /// Modules trained and saved in full, matched as `layers` are. Not set: those named `classifier`, `score` or
  /// `qa_outputs`, if the model has any. PEFT calls them modules_to_save.
  std::optional<std::vector<std::string>> heads = std::nullopt;

  /// Weights that the base's files lack (LoadReport::lacking). Their modules are trained and saved in full too: frozen,
  /// they would stay at random, and be drawn anew for whoever loads the adapter.
  std::vector<std::string> drawn = {};
};

/// A module as target names see it.
struct TargetCandidate {
  std::string name;        ///< path in the model
  bool adaptable = false;  ///< can carry an adapter
  bool linear = false;     ///< "all-linear" takes it
};

/// What Targets took.
struct TargetReport {
  struct Pattern {
    std::string pattern;
    std::vector<std::string> layers;  ///< also those that an earlier pattern took
  };
  std::vector<Pattern> patterns;      ///< in the order of Targets::layers, or Targets::pattern
  std::vector<std::string> layers;    ///< each once, in the model's order
  std::vector<std::string> excluded;  ///< layers that a pattern would have taken
  std::vector<std::string> heads;

  /// One line a pattern: its name, how many layers, the first and the last of them.
  std::string table() const;
};

/// Applies `targets` to the modules of a model, given in its order.
///
/// Throws OptionError if there is no pattern, if a regular expression is not understood, or if any pattern, exclusion,
/// layer number or head takes nothing: all of them in one message, each with the nearest names that the model has.
TargetReport match(const Targets& targets, std::span<const TargetCandidate> modules);

/// True if `name` is `pattern` or ends with ".pattern".
bool matches_suffix(std::string_view name, std::string_view pattern);

namespace detail {

/// The last `count` parts of a path.
std::string_view last_parts(std::string_view path, std::size_t count);

/// The number of the layer list's member that `name` lies in; nothing if it lies in none.
std::optional<std::int64_t> layer_number(std::string_view name, std::string_view list);

bool within(std::string_view name, std::string_view module);

bool is_output_embedding(std::string_view name);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/targets-inl.hpp"
#endif
