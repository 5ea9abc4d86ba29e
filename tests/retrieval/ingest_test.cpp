#include "graft/retrieval/ingest.hpp"

#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/support.hpp"

namespace graft::ingest_test {
namespace {

using test::expect_error;

std::size_t bytes(std::string_view text) { return text.size(); }

/// Counts its calls; a vector tells the text it was made of.
struct CountingModel {
  std::size_t texts = 0;
  std::vector<std::string> seen;
  PassageModel model(const std::string& name = "counting") {
    return {{name, 2, Metric::cosine}, [this](std::span<const std::string> given) {
              std::vector<float> out;
              for (const std::string& text : given) {
                ++texts;
                seen.push_back(text);
                out.push_back(static_cast<float>(text.size()));
                out.push_back(1);
              }
              return out;
            }};
  }
};

struct IngestTest : testing::Test {
  TemporaryDirectory directory;
  SqliteStore store{directory / "store.db"};
  Chunker chunker{bytes, "bytes", {.size = 20, .overlap = 0}};
  CountingModel counting;
  PassageModel model = counting.model();
  std::vector<Document> documents = {{.uri = "a", .text = "One sentence here. Another one there."},
                                     {.uri = "b", .text = "Short."}};
};

TEST_F(IngestTest, CutsAndEmbedsOnceAndNeverAgainWhatDidNotChange) {
  const IngestReport first = ingest(store, chunker, &model, documents);
  EXPECT_EQ(first.added, 2u);
  EXPECT_EQ(first.passages, 3u);
  EXPECT_EQ(first.embedded, 3u);
  EXPECT_EQ(counting.seen, (std::vector<std::string>{"One sentence here.", "Another one there.", "Short."}));

  const std::uint64_t generation = store.read()->generation();
  const IngestReport second = ingest(store, chunker, &model, documents);
  EXPECT_EQ(second.unchanged, 2u);
  EXPECT_EQ(second.embedded, 0u);
  EXPECT_EQ(counting.texts, 3u) << "the embedder was called for what did not change";
  EXPECT_EQ(store.read()->generation(), generation) << "nothing was written";

  documents[1].text = "Longer now.";
  const IngestReport third = ingest(store, chunker, &model, documents);
  EXPECT_EQ(third.changed, 1u);
  EXPECT_EQ(third.unchanged, 1u);
  EXPECT_EQ(counting.texts, 4u);
  EXPECT_EQ(store.read()->vectors(model.space, store.read()->vector_ids(model.space)),
            (std::vector<float>{18, 1, 18, 1, 11, 1}));
  store.check();
}

TEST_F(IngestTest, OfAnEditedTextOnlyNewPassagesAreEmbedded) {
  documents = {{.uri = "a", .text = "One sentence here. Another one there. And a last one."},
               {.uri = "b", .text = "Another one there."}};
  ingest(store, chunker, &model, documents);
  counting.seen.clear();
  documents[0].text = "One new thing here. Another one there. And a last one.";
  documents[1].text = "And a last one.";
  const IngestReport report = ingest(store, chunker, &model, documents);
  EXPECT_EQ(report.changed, 2u);
  EXPECT_EQ(report.passages, 4u);
  EXPECT_EQ(report.embedded, 2u);
  EXPECT_EQ(counting.seen, (std::vector<std::string>{"One new thing here.", "And a last one."}));
  for (const Passage& passage : store.read()->passages_of(1))
    EXPECT_EQ(store.read()->vectors(model.space, std::vector{passage.id}),
              (std::vector<float>{static_cast<float>(passage.text.size()), 1}))
        << passage.text;
  counting.seen.clear();
  const Chunker other(bytes, "bytes", {.size = 20, .overlap = 1});
  EXPECT_EQ(ingest(store, other, &model, documents).changed, 2u);
  EXPECT_TRUE(counting.seen.empty()) << "cut by another rule into the same passages";
  store.check();
}

TEST_F(IngestTest, NewMetadataDoesNotEmbedAgain) {
  ingest(store, chunker, &model, documents);
  documents[0].metadata["section"] = "x";
  documents[1].modified = 7;
  const IngestReport report = ingest(store, chunker, &model, documents);
  EXPECT_EQ(report.changed, 2u);
  EXPECT_EQ(report.passages, 0u);
  EXPECT_EQ(report.embedded, 0u);
  EXPECT_EQ(counting.texts, 3u);
  EXPECT_EQ(store.read()->find("a")->metadata["section"], "x");
  EXPECT_EQ(store.read()->matching(Filter::equal("modified", 7)).size(), 1u);
  EXPECT_EQ(ingest(store, chunker, &model, documents).unchanged, 2u);
}

TEST_F(IngestTest, AnotherModelEmbedsThePassagesThatAreThere) {
  ingest(store, chunker, nullptr, documents);
  const auto ids = store.read()->passages_of(store.read()->find("a")->id);
  EXPECT_TRUE(store.read()->spaces().empty());
  EXPECT_EQ(ingest(store, chunker, &model, documents).completed, 2u);
  const PassageModel other = counting.model("other");
  EXPECT_EQ(ingest(store, chunker, &other, documents).embedded, 3u);
  EXPECT_EQ(store.read()->passages_of(store.read()->find("a")->id)[0].id, ids[0].id);
  EXPECT_EQ(store.read()->vector_ids(model.space), store.read()->vector_ids(other.space));
  EXPECT_EQ(store.read()->spaces().size(), 2u);
}

TEST_F(IngestTest, AnotherCuttingCutsAgain) {
  ingest(store, chunker, &model, documents);
  const Chunker other(bytes, "bytes", {.size = 50, .overlap = 0});
  const IngestReport report = ingest(store, other, &model, documents);
  EXPECT_EQ(report.changed, 2u);
  EXPECT_EQ(store.read()->size().passages, 2u);
}

TEST_F(IngestTest, ASecondDocumentOfOneUriIsRefusedWithBothPlacesNamed) {
  documents = {{.uri = "1", .text = "heron", .source = "/d/a.jsonl"},
               {.uri = "2", .text = "otter", .source = "/d/a.jsonl"},
               {.uri = "1", .text = "turbine", .source = "/d/b.jsonl"},
               {.uri = "2", .text = "valve", .source = "/d/a.jsonl"}};
  expect_error<OptionError>([&] { ingest(store, chunker, &model, documents, {.batch = 1}); },
                            "document \"1\" of \"/d/b.jsonl\" was already given by \"/d/a.jsonl\"");
  std::vector<std::string> refused;
  IngestOptions options;
  options.refused = [&](const Document& document, const OptionError& error) {
    refused.push_back(document.text + ": " + error.what());
  };
  for (int run = 0; run < 2; ++run) {
    refused.clear();
    const IngestReport report = ingest(store, chunker, &model, documents, options);
    EXPECT_EQ(report.unchanged, 2u);  // the first call kept its batches
    EXPECT_EQ(report.changed + report.added, 0u);
    EXPECT_EQ(report.refused, 2u);
    EXPECT_EQ(refused,
              (std::vector<std::string>{"turbine: document \"1\" of \"/d/b.jsonl\" was already given by "
                                        "\"/d/a.jsonl\"; give one of them another name",
                                        "valve: document \"2\" of \"/d/a.jsonl\" was already given by the same "
                                        "source; give one of them another name"}));
  }
  EXPECT_EQ(store.read()->text(store.read()->find("1")->id), "heron");
}

TEST_F(IngestTest, IngestsThatCountAsOneShareWhatWasGiven) {
  GivenDocuments given;
  IngestOptions options;
  options.given = &given;
  ingest(store, chunker, nullptr, documents, options);
  EXPECT_EQ(given, (GivenDocuments{{"a", "a"}, {"b", "b"}}));
  expect_error<OptionError>([&] { ingest(store, chunker, nullptr, documents, options); },
                            "document \"a\" of \"a\" was already given by the same source");
}

TEST_F(IngestTest, AnotherSourceTakesADocumentOnlyIfTheOldOneIsGone) {
  documents = {{.uri = "1", .text = "heron", .source = "old.jsonl"}};
  ingest(store, chunker, &model, documents);
  EXPECT_EQ(store.read()->find("1")->source, "old.jsonl");
  documents[0].source = "new.jsonl";
  bool there = true;
  IngestOptions options;
  options.still_there = [&](const std::string& source) {
    EXPECT_EQ(source, "old.jsonl");
    return there;
  };
  expect_error<OptionError>([&] { ingest(store, chunker, &model, documents, options); },
                            "document \"1\" of \"new.jsonl\" is already there from \"old.jsonl\"");
  there = false;
  const IngestReport moved = ingest(store, chunker, &model, documents, options);
  EXPECT_EQ(moved.changed, 1u);
  EXPECT_EQ(moved.embedded, 0u) << "a row that moved to another file has the text it had";
  EXPECT_EQ(store.read()->find("1")->source, "new.jsonl");
  documents[0].source.clear();
  EXPECT_EQ(ingest(store, chunker, &model, documents).unchanged, 1u) << "who names no source keeps the one there is";
}

TEST_F(IngestTest, ADocumentThatIsRefusedCountsAsGiven) {
  GivenDocuments given;
  IngestOptions options;
  options.given = &given;
  options.refused = [](const Document&, const OptionError&) {};
  documents[0].text = "\xff";
  ingest(store, chunker, &model, documents, options);
  EXPECT_TRUE(given.contains("a")) << "it is there, if not as it should be: nobody may think that it is gone";
}

TEST_F(IngestTest, StopsBetweenBatchesAndGoesOnLater) {
  documents.clear();
  for (int i = 0; i < 20; ++i) documents.push_back({.uri = message("d", i), .text = message("Text ", i)});
  std::size_t asked = 0;
  std::vector<std::size_t> progress;
  IngestOptions options;
  options.batch = 4;
  options.stop = [&] { return ++asked > 10; };
  options.progress = [&](const IngestReport& report) { progress.push_back(report.added); };
  const IngestReport first = ingest(store, chunker, &model, documents, options);
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.added, 8u);
  EXPECT_EQ(progress, (std::vector<std::size_t>{4, 8}));
  EXPECT_EQ(store.read()->size().documents, 8u);
  const IngestReport second = ingest(store, chunker, &model, documents);
  EXPECT_EQ(second.unchanged, 8u);
  EXPECT_EQ(second.added, 12u);
  EXPECT_EQ(counting.texts, 20u);
}

TEST_F(IngestTest, ADocumentThatIsRefusedDoesNotStopTheOthersIfTheCallerTakesIt) {
  documents.insert(documents.begin(), {.uri = "bad", .text = "\xff"});
  expect_error<OptionError>([&] { ingest(store, chunker, &model, documents); },
                            "document \"bad\" is not UTF-8 at byte 0");
  EXPECT_EQ(store.read()->size().documents, 0u);
  std::string refused;
  IngestOptions options;
  options.refused = [&](const Document& document, const OptionError& error) {
    refused = document.uri + ": " + error.what();
  };
  const IngestReport report = ingest(store, chunker, &model, documents, options);
  EXPECT_EQ(report.refused, 1u);
  EXPECT_EQ(report.added, 2u);
  EXPECT_EQ(refused, "bad: document \"bad\" is not UTF-8 at byte 0; convert it first");
}

TEST_F(IngestTest, AModelThatGivesWrongVectorsChangesNothing) {
  const auto broken = [&](std::vector<float> vectors) {
    return [&, vectors] {
      const PassageModel bad{{"bad", 2, Metric::cosine}, [&](std::span<const std::string>) { return vectors; }};
      ingest(store, chunker, &bad, documents);
    };
  };
  expect_error<ShapeError>(broken({1, 2}), "3 vector rows of model \"bad\" need 3 x 2 numbers, but 2 were given");
  expect_error<OptionError>(broken({1, 2, NAN, 1, 1, 1}), "not finite");
  expect_error<OptionError>(broken({1, 2, 0, 0, 1, 1}), "vector 1 of model \"bad\" is zero");
  EXPECT_EQ(store.read()->size().documents, 0u);
  const PassageModel none{{"none", 2, Metric::cosine}, nullptr};
  expect_error<OptionError>([&] { ingest(store, chunker, &none, documents); }, "has no function to embed with");
  const PassageModel wider{{"bad", 3, Metric::cosine},
                           [](std::span<const std::string>) { return std::vector<float>(); }};
  expect_error<OptionError>([&] { ingest(store, chunker, &wider, documents); },
                            "are 2 wide and compared by cosine, not 3 wide");
}

}  // namespace
}  // namespace graft::ingest_test
