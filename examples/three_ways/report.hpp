#pragma once

// What the ways' answers come to: three_ways.json, and a table for the terminal.

#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"

/// Adds to a way's report what its answers come to.
void add_quality(graft::Json& way);

/// A mean with its interval: "0.50 [0.41, 0.59]".
std::string interval(const graft::Json& estimate);

/// Seconds of an answer, over all questions.
double answer_seconds(const graft::Json& way);

void print_table(const graft::Json& report);
