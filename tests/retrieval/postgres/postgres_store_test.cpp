#include "graft/retrieval/postgres_store.hpp"

#include <cstdlib>
#include <thread>

#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/postgres_index.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/postgres/cut_line.hpp"
#include "retrieval/postgres/server.hpp"
#include "retrieval/store_suite.hpp"

namespace graft {
namespace {

using test::PostgresServer;

/// A connection for what a store would not do.
detail::PostgresConnection administrator() {
  return {detail::PostgresAddress(PostgresServer::instance().address()), "test"};
}

/// A schema that no other test has.
std::string fresh_schema() {
  static int number = 0;
  return message("store \"", ++number, "\" '; --");
}

std::unique_ptr<PostgresStore> open(const std::string& schema, PostgresStoreOptions options = {}) {
  options.schema = schema;
  return std::make_unique<PostgresStore>(PostgresServer::instance().address(), options);
}

struct PostgresPlace {
  std::unique_ptr<Store> open(const StoreTestOptions& options) {
    return graft::open(schema,
                       {.create = options.create, .wait = options.wait, .document_bytes = options.document_bytes});
  }
  std::unique_ptr<Store> open_other() { return graft::open(fresh_schema()); }

  std::string schema = fresh_schema();
};
INSTANTIATE_TYPED_TEST_SUITE_P(Postgres, StoreTest, PostgresPlace);

/// Documents of random words, metadata and vectors; the same in every store.
void fill(Store& store, const VectorSpace& space, int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto vectors = test::random_vectors(static_cast<std::size_t>(2 * count), space.width, seed);
  auto writer = store.write();
  writer->add_space(space);
  std::vector<PassageId> ids;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (int w = 0; w < 12; ++w) text += message("Word", random() % 50, w == 5 ? ".\n" : " ");
    const std::size_t middle = text.find('\n');
    const auto put = writer->put({.uri = message("d", i),
                                  .text = text,
                                  .metadata = {{"n", i}, {"part", message("p", random() % 20)}, {"x", 0.5 * i}}},
                                 std::vector<PassageRange>{{0, middle}, {middle + 1, text.size()}});
    ids.insert(ids.end(), put.begin(), put.end());
  }
  writer->put_vectors(space, ids, vectors);
  writer->commit();
}

std::vector<PassageId> ids_of(const std::vector<Scored>& ranking) {
  std::vector<PassageId> out;
  for (const Scored& entry : ranking) out.push_back(entry.id);
  return out;
}

TEST(PostgresStore, FindsWhatTheSqliteFileFinds) {
  TemporaryDirectory directory;
  for (const Metric metric : {Metric::cosine, Metric::inner_product, Metric::euclidean}) {
    const VectorSpace space{"m", 24, metric};
    SqliteStore file(directory / (metric_name(metric) + ".db"));
    const auto server = open(fresh_schema());
    fill(file, space, 300, 5);
    fill(*server, space, 300, 5);
    const auto here = file.read(), there = server->read();
    ASSERT_EQ(there->vector_ids(space), here->vector_ids(space));
    const auto ids = here->vector_ids(space);
    ASSERT_EQ(there->vectors(space, ids), here->vectors(space, ids));
    ExactIndex exact(space);
    exact.add(ids, here->vectors(space, ids));
    const auto queries = test::random_vectors(20, space.width, 9);
    for (const char* text : {"", "n < 40", "part in ('p1', 'p2', 'p3') and not x > 100", "n = -1"}) {
      const std::optional<Filter> filter = *text ? std::optional(Filter::parse(text)) : std::nullopt;
      const auto allowed = filter ? here->matching(*filter) : ids;
      if (filter) {
        EXPECT_EQ(there->matching(*filter), allowed);
      }
      for (int q = 0; q < 20; ++q) {
        const auto query = std::span(queries).subspan(static_cast<std::size_t>(q * space.width), 24);
        const auto wanted = exact.search(query, 10, &allowed)[0];
        const auto found = there->search_vectors(space, query, 10, filter ? &*filter : nullptr);
        ASSERT_EQ(ids_of(found), ids_of(wanted)) << text;
        for (std::size_t i = 0; i < found.size(); ++i)
          EXPECT_NEAR(found[i].score, wanted[i].score,
                      1e-5 * std::max(1.0, std::abs(wanted[i].score)));  // float32 sums
        const std::string question = message("word", q, " and words", q + 20);
        const auto by_server = there->search_words(question, 1000, filter ? &*filter : nullptr);
        const auto by_file = here->search_words(question, 1000, filter ? &*filter : nullptr);
        ASSERT_EQ(ids_of(by_server), ids_of(by_file)) << question;
        for (std::size_t i = 0; i < by_file.size(); ++i)
          EXPECT_NEAR(by_server[i].score, by_file[i].score, 1e-6 * by_file[i].score);  // sums in another order
      }
    }
    server->check();
  }
}

TEST(PostgresStore, WordsAreRankedByRarityAndFrequencyInAnyLanguage) {
  const auto store = open(fresh_schema());
  auto writer = store->write();
  const PassageId common = add(*writer, "a", "common common common words");
  const PassageId rare = add(*writer, "b", "a rare common thing");
  const PassageId twice = add(*writer, "c", "rare, and rare again it is");
  for (int i = 0; i < 9; ++i) add(*writer, message("x", i), "common things");
  EXPECT_EQ(ids_of(writer->search_words("rare common", 3)), (std::vector{twice, rare, common}));
  EXPECT_EQ(ids_of(writer->search_words("the things of it", 99)).size(), 11u) << "no word is left out for being common";
  const PassageId german = add(*writer, "de", "GRÖSSERE Straßen, naïve Äpfel");
  const PassageId russian = add(*writer, "ru", "Привет, МИР");
  EXPECT_EQ(ids_of(writer->search_words("größere strassen apfel", 9)), std::vector{german});
  EXPECT_EQ(ids_of(writer->search_words("привет", 9)), std::vector{russian});
  EXPECT_TRUE(writer->search_words("🎈 -- !", 9).empty());
}

TEST(PostgresStore, AGraphFindsTheNearestAlsoUnderFiltersAndAfterRemovals) {
  const VectorSpace space{"m", 16, Metric::cosine};
  const std::string schema = fresh_schema();
  const auto store = open(schema, {.index_above = 1000});
  fill(*store, space, 1500, 6);
  {
    auto writer = store->write();
    for (int i = 0; i < 300; ++i) writer->remove(message("d", 5 * i));
    writer->commit();
  }
  auto snapshot = store->read();
  auto connection = administrator();
  connection.once("SELECT set_config('search_path', quote_ident($1) || ',public', false)",
                  detail::PostgresParameters(schema));
  EXPECT_EQ(connection
                .once("SELECT count(*) FROM pg_indexes WHERE indexname = 'vectors_1_graph' AND indexdef LIKE "
                      "'%hnsw%m=''16''%'")
                .integer(0, 0),
            1);
  const auto plan = connection.once(
      "EXPLAIN SELECT passage FROM vectors_1 ORDER BY numbers <=> (SELECT numbers FROM vectors_1 LIMIT 1) LIMIT 10");
  std::string steps;
  for (std::size_t row = 0; row < plan.size(); ++row) steps += plan.text(row, 0) + "\n";
  EXPECT_NE(steps.find("Index Scan using vectors_1_graph"), std::string::npos) << steps;
  const auto ids = snapshot->vector_ids(space);
  ASSERT_EQ(ids.size(), 2400u);
  ExactIndex exact(space);
  exact.add(ids, snapshot->vectors(space, ids));
  const auto queries = test::random_vectors(50, space.width, 10);
  for (const auto& [text, least] :
       {std::pair{"", 0.97}, {"part = 'p1'", 0.97}, {"n in (1, 2, 3)", 1.0}, {"n = 0", 1.0}}) {
    const std::optional<Filter> filter = *text ? std::optional(Filter::parse(text)) : std::nullopt;
    const auto allowed = filter ? snapshot->matching(*filter) : ids;
    std::size_t hits = 0, wanted = 0;
    for (int q = 0; q < 50; ++q) {
      const auto query = std::span(queries).subspan(static_cast<std::size_t>(q * space.width), 16);
      const auto best = ids_of(exact.search(query, 10, &allowed)[0]);
      const auto found = ids_of(snapshot->search_vectors(space, query, 10, filter ? &*filter : nullptr));
      ASSERT_EQ(found.size(), std::min<std::size_t>(10, allowed.size())) << text;
      for (const PassageId id : found) {
        ASSERT_TRUE(std::binary_search(allowed.begin(), allowed.end(), id));
        hits += static_cast<std::size_t>(std::count(best.begin(), best.end(), id));
      }
      wanted += best.size();
    }
    EXPECT_GE(static_cast<double>(hits), least * static_cast<double>(wanted)) << text;
  }
  EXPECT_EQ(snapshot->search_vectors(space, std::span(queries).first(16), 5000).size(), 2400u);
}

TEST(PostgresIndex, AnswersAsAnExactIndexDoes) {
  for (const Metric metric : {Metric::cosine, Metric::inner_product, Metric::euclidean}) {
    const VectorSpace space{"m", 8, metric};
    const auto store = open(fresh_schema());
    fill(*store, space, 60, 7);
    PostgresIndex index(*store, space);
    ExactIndex exact(space);
    const auto ids = store->read()->vector_ids(space);
    exact.add(ids, store->read()->vectors(space, ids));
    const auto expect_equal = [&](const std::vector<PassageId>* allowed) {
      const auto queries = test::random_vectors(5, space.width, 11);
      const auto found = index.search(queries, 7, allowed), wanted = exact.search(queries, 7, allowed);
      ASSERT_EQ(found.size(), 5u);
      for (std::size_t q = 0; q < found.size(); ++q) EXPECT_EQ(ids_of(found[q]), ids_of(wanted[q]));
    };
    EXPECT_EQ(index.size(), 120u);
    EXPECT_EQ(index.ids(), ids);
    expect_equal(nullptr);
    const std::vector<PassageId> few{3, 5, 8, 500};
    expect_equal(&few);
    const std::vector<PassageId> gone{5, 8, 77, 9999};
    index.remove(gone), exact.remove(gone);
    EXPECT_FALSE(index.contains(5));
    EXPECT_EQ(index.size(), 117u);
    expect_equal(&few);
    const auto vectors = test::random_vectors(2, space.width, 12);
    index.add(std::vector<PassageId>{8, 5}, vectors), exact.add(std::vector<PassageId>{8, 5}, vectors);
    EXPECT_TRUE(index.contains(5));
    expect_equal(nullptr);
    EXPECT_EQ(index.search(vectors, 3, Filter::parse("n = 2"))[1].at(0).id, 5);  // passage 5: the first of document 2
    test::expect_error<OptionError>(
        [&] {
          index.add(std::vector<PassageId>{5, 6}, vectors);
        },
        "passage 5 has a vector of this model already");
    test::expect_error<OptionError>(
        [&] {
          index.add(std::vector<PassageId>{77, 999}, vectors);
        },
        "there is no passage 999");
    test::expect_error<ShapeError>([&] { index.search(std::span(vectors).first(9), 1); }, "numbers, but 9 were given");
    test::expect_error<OptionError>([&] { PostgresIndex(*store, {"other", 8, metric}); }, "holds no vectors of model");
    EXPECT_EQ(index.size(), 119u);
  }
}

TEST(PostgresStore, ARetrieverSearchesOnTheServer) {
  const auto store = open(fresh_schema());
  PassageId north = 0;
  {
    auto writer = store->write();
    north = add(*writer, "north", "to the north", {{"way", "up"}}, {0, 1, 0});
    add(*writer, "east", "to the east", {{"way", "right"}}, {1, 0, 0});
    writer->commit();
  }
  Retriever retriever(*store, {.space = kSpace});
  EXPECT_EQ(retriever.index_reason(), "the store's own: it searches its vectors itself");
  const auto hits =
      retriever.search({.text = "north", .vector = {0.1f, 1, 0}, .filter = Filter::parse("way != 'right'")});
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].passage.id, north);
  EXPECT_EQ(hits[0].document.uri, "north");
  {
    auto writer = store->write();
    writer->remove("north");
    writer->commit();
  }
  EXPECT_EQ(retriever.search({.vector = {0, 1, 0}}).at(0).document.uri, "east");
  test::expect_error<ShapeError>([&] { retriever.search({.vector = {1, 0}}); }, "need 1 x 3 numbers");
  test::expect_error<OptionError>([&] { retriever.search({.vector = {NAN, 0, 0}}); }, "not finite");
}

void terminate_others() {
  auto connection = administrator();
  connection.once(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'client backend' "
      "AND pid <> pg_backend_pid()");
}

TEST(PostgresStore, AfterALostConnectionTheNextCallConnectsAgain) {
  const auto store = open(fresh_schema());
  {
    auto writer = store->write();
    add(*writer, "kept", "kept");
    writer->commit();
  }
  auto idle = store->read();
  idle.reset();
  auto reader = store->read();
  auto writer = store->write();
  add(*writer, "lost", "lost");
  terminate_others();
  test::expect_error<FileError>([&] { reader->size(); }, "the connection was lost");
  test::expect_error<FileError>([&] { add(*writer, "more", "more"); }, "call read() or write() again");
  test::expect_error<StateError>([&] { writer->remove("kept"); }, "this writer has ended");
  test::expect_error<StateError>([&] { writer->commit(); }, "this writer has ended");
  writer.reset();
  reader.reset();
  EXPECT_EQ(store->read()->size().documents, 1u);
  terminate_others();
  EXPECT_EQ(store->read()->size().documents, 1u) << "an idle connection that was lost is replaced";
  writer = store->write();
  add(*writer, "new", "new");
  terminate_others();
  test::expect_error<FileError>([&] { writer->commit(); }, "the connection was lost");
  EXPECT_FALSE(store->read()->find("new"));
  store->check();
}

TEST(PostgresStore, ACommitUnderWhichTheLineWasCutTellsWhetherItWasKept) {
  for (const bool arrives : {true, false}) {
    test::CutLine line(PostgresServer::instance().port());
    PostgresStore store(PostgresServer::instance().address(PostgresServer::kEscapedPassword, line.port()),
                        {.schema = fresh_schema()});
    auto writer = store.write();
    add(*writer, "a", "text");
    line.cut_at("COMMIT", arrives);
    if (arrives)
      EXPECT_NO_THROW(writer->commit());
    else
      test::expect_error<FileError>([&] { writer->commit(); }, "the connection was lost");
    EXPECT_TRUE(line.was_cut());
    writer.reset();
    EXPECT_EQ(store.read()->size().documents, arrives ? 1u : 0u);
  }
}

TEST(PostgresStore, AServerThatIsDownIsAnErrorUntilItIsUpAgain) {
  auto& server = PostgresServer::instance();
  const std::string schema = fresh_schema();
  const auto store = open(schema);
  {
    auto writer = store->write();
    add(*writer, "a", "text");
    writer->commit();
  }
  server.stop();
  test::expect_error<FileError>([&] { store->read(); }, "cannot be connected to: ");
  test::expect_error<FileError>([&] { store->write(); }, message("127.0.0.1:", server.port()));
  test::expect_error<FileError>([&] { graft::open(schema); }, "cannot be connected to: ");
  server.start();
  EXPECT_EQ(store->read()->size().documents, 1u);
  EXPECT_NO_THROW(store->write()->commit());
}

TEST(PostgresStore, NoMessageHoldsAPassword) {
  auto& server = PostgresServer::instance();
  const std::string port = std::to_string(server.port());
  const std::string secret = "hunter2";
  const std::pair<std::string, const char*> table[] = {
      {"postgresql://graft:hunter2@127.0.0.1:" + port + "/postgres",
       "password authentication failed for user \"graft\""},
      {"postgresql://graft:hunter2@127.0.0.1:1/postgres", "cannot be connected to"},
      {"postgresql://graft:x@hunter2@127.0.0.1:" + port + "/postgres", "has a host with an @"},
      {"postgresql://graft:hunter2/x@127.0.0.1/postgres", "has a dbname with an @"},
      {"postgresql://graft:hunter2/x", "the connection string has a port that is no number"},
      {"postgresql://graft:12/hunter2@127.0.0.1/postgres", "has a dbname with an @"},
      {"postgresql://graft:hunter2%@127.0.0.1/postgres", "the connection string cannot be read; write \"postgresql://"},
      {"postgresql://graft@127.0.0.1/postgres?pasword=hunter2", "cannot be read"},
      {"host=127.0.0.1 user=graft password=very hunter2", "cannot be read"},
      {"host=127.0.0.1 password='hunter2", "cannot be read"},
      {"postgresql://graft:hunter2@127.0.0.1:" + port + "/postgres?sslmode=require", "does not support SSL"},
      {"dbname='postgresql://u:hunter2@h/d'", "has a dbname that is a connection string itself"},
      {"hunter2", "cannot be read"},
  };
  for (const auto& [connection, part] : table) {
    SCOPED_TRACE(connection);
    try {
      PostgresStore store(connection);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find(secret), std::string::npos) << error.what();
    }
  }
  const auto store = open(fresh_schema());
  EXPECT_EQ(store->name().find("p@ss"), std::string::npos);
  EXPECT_NE(store->name().find("127.0.0.1:" + port + "/postgres, schema"), std::string::npos) << store->name();
}

TEST(PostgresStore, TakesThePasswordFromTheUsualPlaces) {
  auto& server = PostgresServer::instance();
  const std::string bare = message("host=127.0.0.1 dbname=postgres user=graft port=", server.port());
  test::expect_error<FileError>([&] { PostgresStore store(bare); }, "no password supplied");
  setenv("PGPASSWORD", PostgresServer::kPassword, 1);
  EXPECT_NO_THROW(PostgresStore(bare, {.schema = fresh_schema()}));
  unsetenv("PGPASSWORD");
  TemporaryDirectory directory;
  const auto file = directory / "pgpass";
  test::write_bytes(file, message("127.0.0.1:", server.port(), ":*:graft:p@ss/w\\:rd% 'x\\\\\n"));
  std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_NO_THROW(PostgresStore(bare + " passfile=" + file.string(), {.schema = fresh_schema()}));
}

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
      {altered("UPDATE store SET version = 99"), "has schema version 99, this version of graft knows 1 to 1"},
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
