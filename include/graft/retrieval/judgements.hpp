#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/metrics.hpp"

namespace graft {

/// A question of which is known what fits it.
struct JudgedQuery {
  std::string id;
  std::string text;
  std::string where;  ///< file and line
};

/// JSON objects, one a line: "text", and a name in "id" or "_id". Blank lines are none. Throws FileError, FormatError
/// with file and line for a row that is not so, or a file without one.
std::vector<JudgedQuery> read_judged_queries(const std::filesystem::path& path);

/// Lines of query, document and grade, or as trec_eval has them query, 0, document, grade; tabs between. A first line
/// whose grade is no number is a header. Gives the judgements of each query by its name. Throws FileError, FormatError
/// with file and line for a line that is not so, or a file without one.
std::map<std::string, Judgements> read_judgements(const std::filesystem::path& path);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/judgements-inl.hpp"
#endif
