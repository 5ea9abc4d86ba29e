#pragma once

// What several commands print.

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/retrieval/query.hpp"

graft::Json json_of(const graft::Hit& hit);

/// The first `limit` bytes of a passage on one line, without control characters; cut between characters.
std::string one_line(const std::string& text, std::size_t limit);

/// Text of a language model for a terminal: without control characters but line ends and tabs.
std::string printable(std::string_view text);
