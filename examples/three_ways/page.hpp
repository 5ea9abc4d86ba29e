#pragma once

// The report as one page of HTML that needs nothing else: no script, no network, no other file.

#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"

std::string page(const graft::Json& report);
