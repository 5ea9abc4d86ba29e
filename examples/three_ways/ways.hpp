#pragma once

// One way from start to end: prepare it, ask it every question, write down what it cost and what it said.

#include <string>

#include <nlohmann/json.hpp>

#include "facts.hpp"
#include "graft/core/json.hpp"
#include "graft/training/interrupt.hpp"
#include "options.hpp"

/// What each way is called, in the order of the report. `both` trains an adapter to answer from the passages that
/// retrieval finds: the adapter learns to read, the documents hold the facts.
/// Source: Zhang et al., RAFT, arXiv:2403.10131.
struct WayName {
  const char *key, *title;
};
inline constexpr WayName way_names[] = {{"base", "as it came"},
                                        {"full", "full fine-tuning"},
                                        {"lora", "LoRA"},
                                        {"retrieval", "retrieval"},
                                        {"both", "LoRA with retrieval"}};

/// Thrown where Ctrl-C ends a way.
struct Interrupted {};

/// Throws now what would be thrown after an hour of training: files that do not fit, places that cannot be written.
void check_ways(const ThreeWaysOptions& options);

/// Prepares the way called `key`, asks it, and gives what it cost and what it said. What it made stands in
/// options.out / key.
graft::Json run_way(const std::string& key, const ThreeWaysOptions& options, const Facts& facts,
                    const graft::InterruptFlag& interrupt);
