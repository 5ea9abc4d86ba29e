#include "graft/retrieval/copy.hpp"

#include <nlohmann/json.hpp>

#include "graft/retrieval/postgres_store.hpp"
#include "graft/retrieval/retriever.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/postgres/server.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

const VectorSpace kFull{"full", 3, Metric::cosine}, kPart{"part", 2, Metric::inner_product};

/// Every passage has a vector of kFull, every third document's of kPart too; ids with gaps.
void fill(Store& store) {
  auto writer = store.write();
  writer->add_space(kFull);
  writer->add_space(kPart);
  for (int i = 0; i < 20; ++i) {
    const std::string text = message("# Kopf ", i, "\nGrößer als ", i, ". Zweiter Satz.");
    const auto ids = writer->put({message("d", i), text, {{"n", i}, {"tags", {"x", message("t", i % 3)}}}, i},
                                 std::vector<PassageRange>{{0, text.size()}, {3, 7, "Kopf"}}, "by hand");
    std::vector<float> vectors;
    for (int c = 0; c < 6; ++c) vectors.push_back(static_cast<float>((i * 7 + c * 5) % 11) + 0.1f);
    writer->put_vectors(kFull, ids, vectors);
    if (i % 3 == 0) writer->put_vectors(kPart, ids, std::span(vectors).first(4));
  }
  writer->remove("d4");
  writer->set_note("joined", "how");
  writer->commit();
}

/// All that is in a store, ids left out.
Json content(Store& store) {
  auto snapshot = store.read();
  Json out = Json::array();
  for (const StoredDocument& document : snapshot->documents()) {
    Json passages = Json::array();
    for (const Passage& passage : snapshot->passages_of(document.id)) {
      Json vectors = Json::object();
      for (const VectorSpace& space : snapshot->spaces())
        if (snapshot->without_vectors(space, std::vector{passage.id}).empty())
          vectors[space.model] = snapshot->vectors(space, std::vector{passage.id});
      passages.push_back({passage.text, passage.range.heading, passage.range.begin, vectors});
    }
    out.push_back({document.uri, document.hash, document.modified, document.cutting, document.metadata,
                   snapshot->text(document.id), passages});
  }
  return out;
}

struct CopyStore : testing::Test {
  TemporaryDirectory directory;
  SqliteStore from{directory / "from.db"}, back{directory / "back.db"};

  std::unique_ptr<PostgresStore> server(const char* schema) {
    return std::make_unique<PostgresStore>(test::PostgresServer::instance().address(),
                                           PostgresStoreOptions{.schema = schema});
  }
};

TEST_F(CopyStore, GoesToTheServerAndBackUnchanged) {
  fill(from);
  const auto there = server("copy_there");
  std::size_t calls = 0;
  const CopyReport report = copy_store(from, *there, {.batch = 7, .progress = [&](const CopyReport&) { ++calls; }});
  EXPECT_EQ(report.documents, 19u);
  EXPECT_EQ(report.passages, 38u);
  EXPECT_EQ(report.vectors, 38u + 14u);
  EXPECT_EQ(calls, 3u);
  EXPECT_EQ(content(*there), content(from));
  EXPECT_EQ(there->read()->spaces(), from.read()->spaces());
  EXPECT_EQ(there->read()->notes(), from.read()->notes());
  EXPECT_EQ(there->read()->note("joined"), "how");
  there->check();
  copy_store(*there, back);
  EXPECT_EQ(content(back), content(from));
  back.check();

  Retriever here(from, {.space = kFull}), far(*there, {.space = kFull});
  for (const Query& query : {Query{.text = "größer zweiter 7"}, Query{.text = "Kopf 3", .vector = {1, 5, 9}},
                             Query{.vector = {1, 5, 9}, .filter = Filter::parse("tags = 't1' and n > 5")}}) {
    const auto a = here.search(query), b = far.search(query);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].document.uri, b[i].document.uri);
      EXPECT_EQ(a[i].passage.order, b[i].passage.order);
      EXPECT_NEAR(a[i].score, b[i].score, 1e-5);
    }
  }
}

TEST_F(CopyStore, IsShortToWrite) {
  fill(from);
  const std::string address = test::PostgresServer::instance().address(), store_file = (directory / "from.db").string();
  const VectorSpace space = kFull;
  const std::vector<float> vector{1, 5, 9};
  const std::string question = "zweiter 7";

  graft::SqliteStore file(store_file);
  graft::PostgresStore server(address);  // "postgresql://user@host/database?sslmode=verify-full"
  graft::copy_store(file, server);

  graft::Retriever retriever(server, {.space = space});
  const auto hits = retriever.search({.text = question, .vector = vector, .filter = graft::Filter::parse("n > 5")});

  ASSERT_EQ(hits.size(), 10u);
  for (const Hit& hit : hits) EXPECT_GT(hit.document.metadata["n"], 5);
  EXPECT_NE(server.name().find("schema \"graft\""), std::string::npos);
}

TEST_F(CopyStore, ReplacesDocumentsOfTheSameUriAndLeavesOthers) {
  fill(from);
  {
    auto writer = back.write();
    writer->put({.uri = "d1", .text = "old"}, std::vector<PassageRange>{{0, 3}});
    writer->put({.uri = "other", .text = "stays"}, std::vector<PassageRange>{{0, 5}});
    writer->commit();
  }
  copy_store(from, back);
  EXPECT_EQ(back.read()->size().documents, 20u);
  EXPECT_TRUE(back.read()->search_words("old", 9).empty());
  EXPECT_EQ(back.read()->search_words("stays", 9).size(), 1u);
  back.check();
}

TEST_F(CopyStore, LeavesTheTargetAsItWasWhenItFailsOrIsStopped) {
  fill(from);
  {
    auto writer = back.write();
    writer->add_space({"part", 5, Metric::cosine});
    writer->commit();
  }
  expect_error<OptionError>([&] { copy_store(from, back); }, "are 5 wide and compared by cosine, not 2 wide");
  EXPECT_EQ(back.read()->size().documents, 0u);
  const PostgresStoreOptions narrow{.schema = "copy_narrow", .document_bytes = 10};
  PostgresStore small(test::PostgresServer::instance().address(), narrow);
  expect_error<OptionError>([&] { copy_store(from, small); }, "document \"d0\" has");
  EXPECT_TRUE(small.read()->spaces().empty());
  const auto there = server("copy_stopped");
  int asked = 0;
  EXPECT_EQ(copy_store(from, *there, {.batch = 5, .stop = [&] { return ++asked > 2; }}).documents, 0u);
  EXPECT_EQ(there->read()->size().documents, 0u);
  expect_error<OptionError>([&] { copy_store(from, back, {.batch = 0}); }, "batch is 0");
}

}  // namespace
}  // namespace graft
