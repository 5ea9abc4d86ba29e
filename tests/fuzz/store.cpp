#include <vector>

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "fuzz/sound_store.hpp"
#include "graft/retrieval/sqlite_store.hpp"

namespace graft::fuzzing::store {

namespace {

/// Asks a store for all that it has: each question gets an answer or an Error.
void ask(Snapshot& snapshot) {
  const auto answer = [](auto call) {
    try {
      call();
    } catch (const Error&) {
    }
  };
  answer([&] { snapshot.size(), snapshot.generation(), snapshot.stamp(), snapshot.follows("x"); });
  answer([&] { snapshot.find("a.md"), snapshot.origins("s"); });
  answer([&] {
    for (const StoredDocument& document : snapshot.documents()) {
      answer(
          [&] { check(snapshot.text(document.id).size() == document.bytes, "a text is not as long as it is said"); });
      answer([&] { snapshot.text(document.id, 3, 7); });
      answer([&] {
        for (const Passage& passage : snapshot.passages_of(document.id))
          check(passage.text.size() == passage.range.end - passage.range.begin, "a passage is not its range");
      });
    }
  });
  answer([&] {
    for (const Scored& hit : snapshot.search_words("three", 5)) answer([&] { snapshot.passages({{hit.id}}); });
  });
  answer([&] { snapshot.matching(Filter::parse("year > 5 or uri = 'a.md'")); });
  answer([&] {
    for (const VectorSpace& space : snapshot.spaces())
      answer([&] {
        const std::vector<PassageId> ids = snapshot.vector_ids(space);
        check(snapshot.vectors(space, ids).size() == ids.size() * static_cast<std::size_t>(space.width),
              "vectors are not as wide as their space");
        snapshot.without_vectors(space, ids);
      });
  });
}

}  // namespace

/// An SQLite file or, if it begins otherwise, SQL that is run on a sound store: opening it is an error or gives a store
/// that answers.
void fuzz(std::string_view input) {
  static const std::string sound = sound_store(folder() / "sound.db");
  const bool is_file = input.starts_with("SQLite format 3");
  for (const char* beside : {"store.db-wal", "store.db-shm", "store.db-journal"})
    std::filesystem::remove(folder() / beside);
  const std::filesystem::path path = file_of(is_file ? input : sound, "store.db");
  if (!is_file) run_sql(path, input);
  SqliteStore store(path, {.create = false});
  ask(*store.read());
  outcome([&] {
    store.check();
    return "";
  });
  const auto writer = store.write();
  outcome([&] {
    writer->put({.uri = "a.md", .text = "five"}, std::vector<PassageRange>{{0, 4}});
    writer->remove("b.md");
    return "";
  });
}

}  // namespace graft::fuzzing::store
