#include "graft/retrieval/postgres_store.hpp"
#include "graft/retrieval/postgres/connection.hpp"

#include <atomic>
#include <thread>

#include "retrieval/postgres/stores.hpp"
#include "retrieval/store_suite.hpp"

namespace graft {
namespace {

using test::administrator;
using test::fresh_schema;
using test::open;

struct PostgresPlace {
  std::unique_ptr<Store> open(const StoreTestOptions& options) {
    return test::open(schema,
                      {.create = options.create, .wait = options.wait, .document_bytes = options.document_bytes});
  }
  std::unique_ptr<Store> open_other() { return test::open(fresh_schema()); }

  std::string schema = fresh_schema();
};
INSTANTIATE_TYPED_TEST_SUITE_P(Postgres, StoreTest, PostgresPlace);

TEST(PostgresStore, RefusesASchemaThatIsNoStore) {
  test::expect_error<FileError>([] { open("nowhere", {.create = false}); },
                                "holds no store; check the option \"schema\"");
  auto connection = administrator();
  const auto altered = [&](const char* sql) {
    return [&connection, sql](const std::string& schema) {
      open(schema);
      connection.once("SELECT set_config('search_path', quote_ident($1) || ',public', false)",
                      detail::PostgresParameters(schema));
      connection.run(sql);
    };
  };
  const auto foreign = [&](const char* sql) {
    return [&connection, sql](const std::string& schema) {
      connection.run(message("CREATE SCHEMA ", schema, "; SET search_path = ", schema, "; ", sql));
    };
  };
  const std::pair<std::function<void(const std::string&)>, const char*> table[] = {
      {foreign("CREATE TABLE notes(text text)"), "holds \"notes\", which is no store's; name another schema"},
      {foreign("CREATE TABLE store(text text)"), "holds a table \"store\" of another program"},
      {altered("UPDATE store SET version = 99"), "has schema version 99, this version of graft knows 1 to 3"},
      {altered("DELETE FROM store"), "has lost its generation number"},
      {altered("DROP TABLE attributes"), "the tables are not those of a store"},
      {altered("ALTER TABLE documents ADD COLUMN x int"), "the tables are not those of a store"},
      {altered("CREATE TABLE extra(x int)"), "the tables are not those of a store"},
  };
  int number = 0;
  for (const auto& [make, part] : table) {
    const std::string schema = message("foreign_", ++number);
    make(schema);
    test::expect_error<FormatError>([&] { open(schema); }, part);
  }
}

// What version 1 left: other words, and no sources.
TEST(PostgresStore, AStoreOfVersionOneIsBroughtUpToDate) {
  const std::string schema = fresh_schema(), text = "Tiếng Việt, 数据库";
  {
    const auto store = open(schema);
    auto writer = store->write();
    for (int i = 0; i < 3; ++i) add(*writer, message("d", i), text);
    writer->commit();
  }
  auto connection = administrator();
  connection.once("SELECT set_config('search_path', quote_ident($1) || ',public', false)",
                  detail::PostgresParameters(schema));
  connection.run(
      "DROP TABLE notes; ALTER TABLE documents DROP source; UPDATE passages SET words = to_tsvector('words', 'old "
      "words'), length = 2; "
      "UPDATE store SET version = 1, words = 6");
  const auto store = open(schema);
  store->check();
  auto writer = store->write();
  EXPECT_EQ(writer->search_words("数据", 9).size(), 3u);
  EXPECT_EQ(writer->search_words("Tie\u0302\u0301ng", 9).size(), 3u);
  EXPECT_TRUE(writer->search_words("old", 9).empty());
  EXPECT_EQ(writer->find("d1")->source, "d1");
  EXPECT_TRUE(writer->remove("d1"));
  writer->commit();
  store->check();
}

// What version 2 left: no notes.
TEST(PostgresStore, AStoreOfVersionTwoIsBroughtUpToDate) {
  const std::string schema = fresh_schema();
  {
    const auto store = open(schema);
    auto writer = store->write();
    add(*writer, "a", "some words");
    writer->commit();
  }
  auto connection = administrator();
  connection.once("SELECT set_config('search_path', quote_ident($1) || ',public', false)",
                  detail::PostgresParameters(schema));
  connection.run("DROP TABLE notes; UPDATE store SET version = 2");
  const auto store = open(schema);
  store->check();
  auto writer = store->write();
  EXPECT_EQ(writer->search_words("words", 9).size(), 1u);
  writer->set_note("a", "one");
  writer->commit();
  EXPECT_EQ(open(schema)->read()->note("a"), "one");
}

TEST(PostgresStore, CheckFindsWhatDoesNotBelongTogether) {
  const std::pair<const char*, const char*> table[] = {
      {"UPDATE passages SET last = 1000", "1 passages outside their text"},
      {"DELETE FROM documents", "1 passages without a document"},
      {"DELETE FROM passages", "1 vectors without a passage"},
      {"DROP TABLE vectors_1", "vectors_1, a table of vectors, is not there"},
      {"UPDATE spaces SET width = 4", "1 vectors of another width than their model's"},
      {"UPDATE store SET next_passage = 1", "1 counters below the ids that were given"},
  };
  auto connection = administrator();
  for (const auto& [sql, part] : table) {
    const std::string schema = fresh_schema();
    const auto store = open(schema);
    auto writer = store->write();
    const PassageId id = add(*writer, "a", "text");
    writer->commit();
    store->check();
    connection.once("SELECT set_config('search_path', quote_ident($1) || ',public', false)",
                    detail::PostgresParameters(schema));
    connection.run(sql);
    test::expect_error<FormatError>([&] { store->check(); }, part);
    if (std::string(part).find("outside") != std::string::npos)
      test::expect_error<FormatError>([&] { store->read()->passages(std::vector{id}); },
                                      "passage 1 ends at byte 1000 of a text of 4");
  }
}

TEST(PostgresStore, RefusesOptionsOutOfRange) {
  const std::pair<PostgresStoreOptions, const char*> table[] = {
      {{.schema = ""}, "schema is \"\""},
      {{.schema = "pg_x"}, "schema is \"pg_x\""},
      {{.schema = std::string(64, 'x')}, "1 to 63 bytes"},
      {{.schema = "\xff"}, "schema is"},
      {{.wait = std::chrono::milliseconds(-1)}, "wait is -1 ms"},
      {{.document_bytes = 0}, "document_bytes is 0"},
      {{.links = 1}, "links is 1; choose 2 to 100"},
      {{.ef_construction = 20}, "ef_construction is 20; choose 32 to 1000"},
      {{.ef_search = 0}, "ef_search is 0; choose 1 to 1000"},
  };
  for (const auto& [options, part] : table)
    test::expect_error<OptionError>([&, &options = options] { PostgresStore("host=127.0.0.1", options); }, part);
}

TEST(PostgresStore, LongAndWideThingsAreKeptOrRefusedWhole) {
  const auto store = open(fresh_schema());
  auto writer = store->write();
  std::string many;
  for (int i = 0; i < 200'000; ++i) many += message("w", i * 7919, " ");
  test::expect_error<OptionError>([&] { writer->put({.uri = "many", .text = many}, whole(many)); },
                                  "document \"many\", passages 0 to 0: one has more different words");
  const std::string longest(8 << 20, 'x');
  const std::string key(2000, 'k'), value(100'000, 'v');
  const PassageId id = add(*writer, std::string(4096, 'u'), "text", {{key, value}, {key + "2", value + "2"}});
  writer->put({.uri = "long", .text = longest}, std::vector<PassageRange>{{longest.size() - 5, longest.size()}});
  EXPECT_EQ(writer->matching(Filter::equal(key, value)), std::vector{id});
  EXPECT_EQ(writer->matching(Filter::one_of(key + "2", {value, value + "2"})), std::vector{id});
  EXPECT_EQ(writer->matching(Filter::less(key, value + "1")), std::vector{id});
  EXPECT_EQ(writer->matching(Filter::greater(key + "2", value)), std::vector{id});
  EXPECT_TRUE(writer->matching(Filter::equal(key, value + "2")).empty());
  EXPECT_TRUE(writer->matching(Filter::greater(key, value)).empty());
  EXPECT_EQ(writer->passages_of(writer->find("long")->id).at(0).text, "xxxxx");
  test::expect_error<OptionError>([&] { writer->add_space({"wide", 16'001, Metric::cosine}); }, "keeps up to 16000");
  const VectorSpace wide{"wide", 16'000, Metric::euclidean};
  writer->add_space(wide);
  const auto vector = test::random_vectors(1, wide.width, 1);
  writer->put_vectors(wide, std::vector{id}, vector);
  EXPECT_EQ(writer->vectors(wide, std::vector{id}), vector);
  writer->commit();
  store->check();
}

TEST(PostgresStore, NumbersCompareExactlyBeyondWhatADoubleHolds) {
  const auto store = open(fresh_schema());
  auto writer = store->write();
  const std::int64_t big = (std::int64_t{1} << 60);
  const PassageId exact = add(*writer, "a", "x", {{"n", big}}), next = add(*writer, "b", "x", {{"n", big + 1}});
  EXPECT_EQ(writer->matching(Filter::equal("n", big)), std::vector{exact});
  EXPECT_EQ(writer->matching(Filter::equal("n", std::ldexp(1.0, 60))), std::vector{exact});
  EXPECT_EQ(writer->matching(Filter::greater("n", std::ldexp(1.0, 60))), std::vector{next});
  const PassageId tiny = add(*writer, "c", "x", {{"n", 5e-324}}), huge = add(*writer, "d", "x", {{"n", 1.7e308}});
  EXPECT_EQ(writer->matching(Filter::equal("n", 5e-324)), std::vector{tiny});
  EXPECT_EQ(writer->matching(Filter::greater("n", 1e308)), std::vector{huge});
}

TEST(PostgresStore, ReadersSeeWholeStatesWhileOneWrites) {
  const std::string schema = fresh_schema();
  const auto store = open(schema);
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0, reads = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&] {
      const auto mine = open(schema);
      while (!done) {
        auto snapshot = mine->read();
        const StoreSize size = snapshot->size();
        torn += size.passages != 2 * size.documents || snapshot->matching(Filter::exists("k")).size() != size.passages;
        ++reads;
      }
    });
  for (int i = 0; i < 40 || reads < 10; ++i) {  // however slow the readers are
    auto writer = store->write();
    writer->put({.uri = message("d", i % 10), .text = "ab", .metadata = {{"k", i}}},
                std::vector<PassageRange>{{0, 1}, {1, 2}});
    writer->commit();
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace graft
