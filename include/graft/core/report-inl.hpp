#pragma once

#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/output.hpp"
#include "graft/core/report.hpp"
#include "graft/version.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE bool is_report(const std::filesystem::path& path) {
  try {
    const Json there = read_json(path);
    return there.is_object() && there.contains(report_mark);
  } catch (const FormatError&) {
    return false;
  }
}

}  // namespace detail

GRAFT_INLINE void check_report(const std::filesystem::path& path, bool replace) {
  OutputFile place(path);
  if (!path_exists(path)) return;
  const char* why = !replace                  ? "it is there already; name another file, or ask to overwrite it"
                    : detail::is_report(path) ? nullptr
                                              : "it is not a report that graft wrote; name another file";
  if (why) throw OptionError(message("cannot write ", quoted(path.native(), 4096), ": ", why));
}

GRAFT_INLINE void write_report(const std::filesystem::path& path, Json figures, bool replace) {
  check_report(path, replace);
  figures[report_mark] = GRAFT_VERSION;
  write_file(path, figures.dump(2) + "\n");
}

}  // namespace graft
