#pragma once

#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/retrieval/sqlite_store.hpp"

namespace graft::fuzzing {

/// Runs SQL on an SQLite file: what another program, or an enemy, may make of it. It reaches no other file and ends.
inline void run_sql(const std::filesystem::path& path, std::string_view sql) {
  sqlite3* database = nullptr;
  if (sqlite3_open(path.c_str(), &database) != SQLITE_OK) std::abort();
  sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 1 << 20);
  int calls = 0;
  sqlite3_progress_handler(
      database, 1000, [](void* count) { return ++*static_cast<int*>(count) > 200 ? 1 : 0; }, &calls);
  sqlite3_exec(database, std::string(sql).c_str(), nullptr, nullptr, nullptr);
  sqlite3_close(database);
}

/// The bytes of a store with two documents and their vectors, in small pages.
inline std::string sound_store(const std::filesystem::path& path) {
  {
    SqliteStore store(path);
    const VectorSpace space{"model", 2, Metric::cosine};
    const auto writer = store.write();
    writer->add_space(space);
    for (const char* uri : {"a.md", "b.md"}) {
      const Document document{.uri = uri, .text = "one two. three four", .metadata = {{"year", 2020}}, .source = "s"};
      const auto ids = writer->put(document, std::vector<PassageRange>{{0, 8, "H"}, {9, 19}}, "cutting");
      writer->put_vectors(space, ids, std::vector<float>{1, 0, 0, 1});
    }
    writer->commit();
  }
  sqlite3* database = nullptr;
  sqlite3_open(path.c_str(), &database);
  sqlite3_exec(database, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  return read_file(path, 1 << 24);
}

}  // namespace graft::fuzzing
