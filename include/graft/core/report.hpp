#pragma once

#include <filesystem>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// What a program writes into a report, so that a later run knows it for its own.
inline constexpr const char* report_mark = "graft_version";

/// Throws OptionError if write_report() would: before the work whose figures the report holds.
void check_report(const std::filesystem::path& path, bool replace);

/// Writes `figures`, an object, with graft's version beside them: whole or not at all. A file that is there is replaced
/// only with `replace`, and only if it is such a report: anything else is an OptionError. FileError where the system
/// refuses.
void write_report(const std::filesystem::path& path, Json figures, bool replace);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/core/report-inl.hpp"
#endif
