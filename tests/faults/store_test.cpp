// A store in SQLite: with every system call failing once, those of SQLite too, it is as it was or as was asked for.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "faults/operation.hpp"
#include "graft/retrieval/sqlite/schema.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/add.hpp"
#include "support/temporary_directory.hpp"

namespace graft::faults {
namespace {

namespace fs = std::filesystem;

fs::path place(const fs::path& folder) { return folder / "store.db"; }

/// All that a store holds, in one line; it is checked first.
std::string content(const fs::path& path) {
  SqliteStore store(path, {.create = false});
  store.check();
  const auto snapshot = store.read();
  std::string text;
  for (const StoredDocument& document : snapshot->documents()) {
    text += document.uri + "=" + snapshot->text(document.id);
    std::vector<PassageId> ids;
    for (const Passage& passage : snapshot->passages_of(document.id)) ids.push_back(passage.id);
    for (const float number : snapshot->vectors(kSpace, ids)) text += message(" ", number);
    text += "; ";
  }
  return text + message(snapshot->search_words("words", 100).size(), " with words");
}

/// What stays the same: 20 documents, so that the trees of the store have more than a page.
void make_store(const fs::path& folder) {
  SqliteStore store(place(folder));
  const auto writer = store.write();
  for (int i = 0; i < 20; ++i) add(*writer, message("d", i), message("words of document ", i, std::string(500, 'x')));
  writer->commit();
}

/// Tries what `change` does to a store in one transaction.
void try_change(const std::function<void(Writer&)>& change) {
  const TemporaryDirectory directory;
  const auto run = [&](const fs::path& folder) {
    SqliteStore store(place(folder));
    const auto writer = store.write();
    change(*writer);
    writer->commit();
  };
  make_store(directory.path());
  const std::string old_content = content(place(directory.path()));
  run(directory.path());
  const std::string new_content = content(place(directory.path()));
  ASSERT_NE(old_content, new_content);
  try_every_fault({.prepare = make_store,
                   .run = run,
                   .state = [&](const fs::path& folder) -> std::string {
                     try {
                       const std::string there = content(place(folder));
                       return there == old_content ? "old" : there == new_content ? "new" : there;
                     } catch (const std::exception& error) {
                       return error.what();
                     }
                   },
                   .of_others = true});
}

TEST(Faults, AddingToAStore) {
  try_change([](Writer& writer) {
    for (int i = 20; i < 23; ++i)
      if (!writer.find(message("d", i))) add(writer, message("d", i), "new words");
  });
}

TEST(Faults, ReplacingInAStore) {
  try_change([](Writer& writer) { add(writer, "d7", "other words", {{"n", 1}}, {0, 1, 0}); });
}

TEST(Faults, RemovingFromAStore) {
  try_change([](Writer& writer) {
    for (int i = 3; i < 17; ++i) writer.remove(message("d", i));
  });
}

TEST(Faults, MakingAStore) {
  try_every_fault({.prepare = [](const fs::path&) {},
                   .run = [](const fs::path& folder) { SqliteStore store(place(folder)); },
                   .state = [](const fs::path& folder) -> std::string {
                     std::error_code none;
                     if (fs::file_size(place(folder), none) == 0 || none) return "old";
                     try {
                       SqliteStore(place(folder)).check();
                       return "new";
                     } catch (const std::exception& error) {
                       return error.what();
                     }
                   },
                   .of_others = true});
}

// What version 1 left: the words as its tokenizer had them, and no sources. The first opening indexes them anew.
TEST(Faults, BringingAStoreUpToDate) {
  const auto version = [](detail::SqliteConnection& connection) {
    return detail::pragma(connection, "PRAGMA user_version");
  };
  try_every_fault({.prepare =
                       [](const fs::path& folder) {
                         make_store(folder);
                         detail::SqliteConnection made(place(folder), false, std::chrono::milliseconds(0));
                         for (const char* sql :
                              {"DROP TABLE notes", "DROP TABLE sources", "DROP TABLE words",
                               "CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61')",
                               "INSERT INTO words(rowid, text) SELECT id, 'old' FROM passages",
                               "PRAGMA user_version = 1"})
                           made.run(sql);
                       },
                   .run = [](const fs::path& folder) { SqliteStore store(place(folder)); },
                   .state = [&](const fs::path& folder) -> std::string {
                     try {
                       {
                         detail::SqliteConnection there(place(folder), false, std::chrono::milliseconds(0));
                         const char* const old = "SELECT count(*) FROM words WHERE words MATCH 'old'";
                         if (version(there) == 1) return detail::pragma(there, old) == 20 ? "old" : "a mix";
                       }
                       return content(place(folder)).ends_with("20 with words") ? "new" : "words are lost";
                     } catch (const std::exception& error) {
                       return error.what();
                     }
                   },
                   .of_others = true});
}

}  // namespace
}  // namespace graft::faults
