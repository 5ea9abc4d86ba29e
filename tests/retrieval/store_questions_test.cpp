#include "graft/retrieval/store_questions.hpp"

#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

struct FindAnswers : testing::Test {
  FindAnswers() {
    auto writer = store.write();
    const auto put = [&](const std::string& uri, const std::string& text, std::vector<PassageRange> ranges) {
      writer->put({.uri = uri, .text = text}, ranges);
      ids.push_back(writer->find(uri)->id);
    };
    put("whole", "\nAll of it.\n", {{0, 12}});
    put("twin", "All of it.", {{0, 10}});
    put("cut", "First part. Second part.", {{0, 12}, {12, 24}});
    put("long", std::string(5000, 'x') + " First part.", {{0, 5000}, {5000, 5012}});
    writer->commit();
  }
  TemporaryDirectory directory;
  SqliteStore store{directory / "store.db"};
  std::vector<DocumentId> ids;
};

TEST_F(FindAnswers, OfPairsByTextOrPassage) {
  const std::vector<QuestionPairs> rows = {
      {.question = "a", .positives = {" All of it. "}, .where = "f, line 1"},
      {.question = "b", .positives = {"Nobody wrote this."}, .where = "f, line 2"},
      {.question = "c", .positives = {"First part.", "Nor this.", "Second part."}, .where = "f, line 3"},
  };
  const StoreQuestions found = find_answers(*store.read(), rows);
  ASSERT_EQ(found.questions.size(), 2u);
  EXPECT_EQ(found.questions[0].right, (std::vector{ids[0], ids[1]}));
  EXPECT_EQ(found.questions[0].where, "f, line 1");
  EXPECT_EQ(found.questions[1].text, "c");
  EXPECT_EQ(found.questions[1].right, (std::vector{ids[2], ids[3]}));
  EXPECT_EQ(found.rows, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(found.left_out, 1u);
  EXPECT_EQ(found.unknown, 2u);
  EXPECT_EQ(found.faults,
            (std::vector<std::string>{"f, line 2: the store does not have the answer \"Nobody wrote this.\"",
                                      "f, line 3: the store does not have the answer \"Nor this.\""}));
}

TEST_F(FindAnswers, OfJudgementsByName) {
  const std::vector<JudgedQuery> queries = {
      {"q1", "one", "f, line 1"}, {"q2", "two", "f, line 2"}, {"q3", "three", ""}};
  const StoreQuestions found = find_answers(
      *store.read(), queries, {{"q1", {{"cut", 2}, {"nowhere", 1}, {"twin", 0}}}, {"q2", {{"whole", -1}}}});
  ASSERT_EQ(found.questions.size(), 1u);
  EXPECT_EQ(found.questions[0].text, "one");
  EXPECT_EQ(found.questions[0].right, std::vector{ids[2]});
  EXPECT_EQ(found.left_out, 2u);
  EXPECT_EQ(found.unknown, 1u);
  EXPECT_EQ(found.faults.at(0), "f, line 1: the store does not have the answer \"nowhere\"");
}

}  // namespace
}  // namespace graft
