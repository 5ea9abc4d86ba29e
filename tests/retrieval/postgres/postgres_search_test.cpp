#include <gtest/gtest.h>

#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/postgres/connection.hpp"
#include "graft/retrieval/postgres_index.hpp"
#include "graft/retrieval/postgres_store.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/add.hpp"
#include "retrieval/postgres/stores.hpp"
#include "retrieval/support.hpp"

// What PostgreSQL finds is what a file finds.

namespace graft {
namespace {

using test::administrator;
using test::fresh_schema;
using test::open;

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

// One function makes the words of both stores.
TEST(PostgresStore, RanksWordsOfAnyScriptAsTheSqliteFileDoes) {
  TemporaryDirectory directory;
  SqliteStore file(directory / "store.db");
  const auto server = open(fresh_schema());
  const std::vector<std::string> parts = {"数据库", "服务器",   "新幹線", "データ",  "ﾃﾞｰﾀ",   "ข้าวผัด", "ตลาด",
                                          "한국어", "대한민국", "Straße", "STRASSE", "tiếng",  "Việt",  "हिन्दी",
                                          "भाषा",   "մեծ",      "Ελλάς",  "привет",  "МИР",    "שלום",  "مُحَمَّد",
                                          "naïve",  "running",  "x2",     "3.5",     "e-mail", "ខ្មែរ",  "မြန်မာ"};
  std::mt19937_64 random(11);
  constexpr std::size_t kWithoutBlanks = 9;
  const auto some_text = [&] {
    std::string text;
    for (int n = 0; n < 12; ++n) {
      const std::size_t part = random() % parts.size();
      text += parts[part];
      if (part >= kWithoutBlanks || random() % 2) text += ' ';  // FTS5 stems no word of over 64 bytes: none is made
    }
    return text;
  };
  for (int i = 0; i < 300; ++i) {
    const std::string text = some_text();
    for (Store* store : {static_cast<Store*>(&file), static_cast<Store*>(server.get())}) {
      auto writer = store->write();
      writer->put({.uri = message("d", i), .text = text}, whole(text));
      writer->commit();
    }
  }
  const auto here = file.read(), there = server->read();
  for (int i = 0; i < 200; ++i) {
    const std::string question = some_text();
    auto by_file = here->search_words(question, 1000), by_server = there->search_words(question, 1000);
    const auto by_id = [](const Scored& a, const Scored& b) { return a.id < b.id; };
    std::sort(by_file.begin(), by_file.end(), by_id);  // sums in another order may part what is equal
    std::sort(by_server.begin(), by_server.end(), by_id);
    ASSERT_EQ(ids_of(by_server), ids_of(by_file)) << question;
    for (std::size_t k = 0; k < by_file.size(); ++k)
      EXPECT_NEAR(by_server[k].score, by_file[k].score, 1e-6 * by_file[k].score);
  }
}

// The server's own parser takes the words that it is given whole, whatever it holds for a letter.
TEST(PostgresStore, FindsWordsOfAnyScriptInADatabaseOfAnotherLocale) {
  administrator().run("CREATE DATABASE utf8 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
  std::string address = test::PostgresServer::instance().address();
  address.replace(address.rfind('/'), std::string::npos, "/utf8");
  PostgresStore store(address);
  auto writer = store.write();
  for (const char* text :
       {"数据库", "新幹線", "ข้าวผัดน้ำ", "한국어", "हिन्दी", "বাংলা", "ខ្មែរ", "မြန်မာ", "ພາສາລາວ", "Ελλάς", "አማርኛ", "ø"}) {
    const PassageId id = add(*writer, "it", text);
    const auto found = writer->search_words(text, 9);
    ASSERT_EQ(found.size(), 1u) << text;
    EXPECT_EQ(found[0].id, id);
  }
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

}  // namespace
}  // namespace graft
