#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/io/lines.hpp"
#include "graft/retrieval/judgements.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::vector<std::string> fields_between_tabs(const std::string& line) {
  std::vector<std::string> fields;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find('\t', begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

}  // namespace detail

GRAFT_INLINE std::vector<JudgedQuery> read_judged_queries(const std::filesystem::path& path) {
  LineReader lines(path, 1 << 20);
  std::vector<JudgedQuery> queries;
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t") == line.npos) continue;
    const Json row = parse_json(line, lines.where(), {.depth = 16, .bytes = 1 << 20});
    const JsonFields fields(row, lines.where());
    const auto* name = fields.has("_id") ? "_id" : "id";
    const Json& id = fields.value(name);
    if (!id.is_string() && !id.is_number_integer()) fields.fail(name, "a string or an integer");
    queries.push_back({id.is_string() ? id.get<std::string>() : id.dump(), fields.text("text"), lines.where()});
  }
  if (queries.empty()) throw FormatError(message(path.native(), ": has no query"));
  return queries;
}

GRAFT_INLINE std::map<std::string, Judgements> read_judgements(const std::filesystem::path& path) {
  LineReader lines(path, 1 << 20);
  std::map<std::string, Judgements> judgements;
  for (std::string line; lines.next(line);) {
    if (line.empty()) continue;
    const std::vector<std::string> fields = detail::fields_between_tabs(line);
    std::int64_t grade = 0;
    const auto whole = [&](const std::string& text) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), grade);
      return error == std::errc() && end == text.data() + text.size();
    };
    const bool good = (fields.size() == 3 || fields.size() == 4) && whole(fields.back());
    if (!good && lines.number() == 1 && fields.size() >= 3) continue;
    if (!good)
      throw FormatError(message(lines.where(), ": is ", quoted(line),
                                "; a line has a query, a document and a whole grade, with tabs between"));
    judgements[fields[0]][fields[fields.size() - 2]] = grade;
  }
  if (judgements.empty()) throw FormatError(message(path.native(), ": says of no document that it is relevant"));
  return judgements;
}

}  // namespace graft
