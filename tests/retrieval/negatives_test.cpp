#include "graft/retrieval/negatives.hpp"

#include <cmath>

#include "graft/retrieval/sqlite_store.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

const VectorSpace kPlane{"m", 2, Metric::cosine};

struct Negatives : testing::Test {
  TemporaryDirectory directory;
  SqliteStore store{directory / "store.db"};

  static std::vector<float> at(double degrees) {
    return {static_cast<float>(std::cos(degrees * M_PI / 180)), static_cast<float>(std::sin(degrees * M_PI / 180))};
  }

  /// A document of one passage for each angle; every passage is the text.
  DocumentId add(const std::string& uri, const std::string& text, const std::vector<double>& degrees) {
    auto writer = store.write();
    writer->add_space(kPlane);
    const auto ids =
        writer->put({.uri = uri, .text = text}, std::vector<PassageRange>(degrees.size(), {0, text.size()}));
    std::vector<float> vectors;
    for (const double angle : degrees) {
      const auto vector = at(angle);
      vectors.insert(vectors.end(), vector.begin(), vector.end());
    }
    writer->put_vectors(kPlane, ids, vectors);
    const DocumentId id = writer->find(uri)->id;
    writer->commit();
    return id;
  }

  std::vector<std::string> names(const std::vector<Negative>& negatives) {
    std::vector<std::string> out;
    for (const Negative& negative : negatives)
      out.push_back(store.read()->documents(std::vector{negative.document})[0].uri);
    return out;
  }
};

using Names = std::vector<std::string>;

TEST_F(Negatives, LooksLikeAnAnswerAndIsNone) {
  const DocumentId right = add("right", "the answer", {20, 80});
  add("same", "nearly the answer", {22});  // 0.987 of the right one's score
  add("near", "about the subject", {50, 51});
  add("words", "the answer to something else", {85});
  add("far", "nothing of it", {170});
  const StoreQuestion question{.text = "answer", .vector = at(0), .right = {right}};
  NegativesOptions options;
  options.space = kPlane;
  const MinedNegatives both = mine_negatives(store, std::vector{question}, options);
  // By vector same, right, near, ..., by word right, words, ...
  EXPECT_EQ(names(both.of_questions[0]), (Names{"near", "words", "far"}));
  EXPECT_NEAR(*both.of_questions[0][0].score, std::cos(50 * M_PI / 180), 1e-6);
  EXPECT_FALSE(both.of_questions[0][0].judged);
  EXPECT_EQ(both.report.questions, 1u);
  EXPECT_EQ(both.report.found, 3u);
  EXPECT_EQ(both.report.too_near, 1u);
  EXPECT_EQ(both.report.right, 2u);
  EXPECT_EQ(both.report.same_document, 1u);
  ASSERT_EQ(both.report.examples.size(), 1u);
  EXPECT_EQ(both.report.examples[0].question, "answer");
  EXPECT_EQ(both.report.examples[0].right, "the answer");
  EXPECT_EQ(both.report.examples[0].negative, "about the subject");
  EXPECT_NEAR(*both.report.examples[0].right_score, std::cos(20 * M_PI / 180), 1e-6);

  options.per_question = 1;
  options.by_vector = false;
  EXPECT_EQ(names(mine_negatives(store, std::vector{question}, options).of_questions[0]), Names{"words"});
  options.by_vector = true;
  options.by_word = false;
  options.most_share = 2;
  EXPECT_EQ(names(mine_negatives(store, std::vector{question}, options).of_questions[0]), Names{"same"});
  options.margin = 0.01;
  EXPECT_EQ(names(mine_negatives(store, std::vector{question}, options).of_questions[0]), Names{"same"});
  options.margin = 0.02;
  EXPECT_EQ(names(mine_negatives(store, std::vector{question}, options).of_questions[0]), Names{"near"});
}

TEST_F(Negatives, OnlyTheRanksThatWereAskedForAreLookedAt) {
  const DocumentId right = add("right", "x", {0});
  for (int i = 1; i <= 8; ++i) add(message("d", i), "y", {20.0 + i});
  NegativesOptions options;
  options.space = kPlane;
  options.first_rank = 4;
  options.last_rank = 6;
  const std::vector<StoreQuestion> questions = {{.text = "?", .vector = at(0), .right = {right}}};
  EXPECT_EQ(names(mine_negatives(store, questions, options).of_questions[0]), (Names{"d3", "d4", "d5"}));
  options.last_rank = 4;
  EXPECT_EQ(names(mine_negatives(store, questions, options).of_questions[0]), Names{"d3"});
  options.first_rank = options.last_rank = 50;
  const MinedNegatives none = mine_negatives(store, questions, options);
  EXPECT_TRUE(none.of_questions[0].empty());
  EXPECT_EQ(none.report.none, 1u);
  EXPECT_TRUE(none.report.examples.empty());
}

TEST_F(Negatives, AJudgeLeavesOutWhatItTakesForAnAnswer) {
  const DocumentId right = add("right", "right", {0});
  add("good", "also right", {40});
  add("bad", "wrong", {41});
  NegativesOptions options;
  options.space = kPlane;
  options.judge = [](const std::string& question, std::span<const std::string> passages) {
    EXPECT_EQ(question, "q");
    EXPECT_EQ(passages[0], "right");
    std::vector<double> out;
    for (const std::string& text : passages) out.push_back(text == "wrong" ? -3 : text == "right" ? 2 : 1.5);
    return out;
  };
  options.judge_margin = 1;
  const std::vector<StoreQuestion> questions = {{.text = "q", .vector = at(0), .right = {right}}};
  const MinedNegatives mined = mine_negatives(store, questions, options);
  EXPECT_EQ(names(mined.of_questions[0]), Names{"bad"});
  EXPECT_EQ(mined.of_questions[0][0].judged, -3);
  EXPECT_EQ(mined.report.judged_good, 1u);
  options.judge = [](const std::string&, std::span<const std::string>) { return std::vector<double>{1}; };
  expect_error<ShapeError>([&] { mine_negatives(store, questions, options); },
                           "the judge gave 1 scores for 4 passages");
}

TEST_F(Negatives, WorkByWordAloneAndShowFiveOfManyQuestions) {
  std::vector<StoreQuestion> questions;
  for (int i = 0; i < 12; ++i)
    questions.push_back({.text = "apple", .right = {add(message("d", i), message("apple ", i), {i * 3.0})}});
  std::size_t calls = 0;
  const MinedNegatives mined =
      mine_negatives(store, questions, {.per_question = 2, .progress = [&](std::size_t n) { EXPECT_EQ(n, ++calls); }});
  EXPECT_EQ(calls, 12u);
  EXPECT_EQ(mined.report.found, 24u);
  EXPECT_EQ(mined.report.examples.size(), 5u);
  for (const auto& negatives : mined.of_questions) EXPECT_FALSE(negatives.at(0).score);
  const MinedNegatives again = mine_negatives(store, questions, {.per_question = 2});
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(names(again.of_questions[i]), names(mined.of_questions[i]));
}

TEST_F(Negatives, RefuseWhatCannotBe) {
  const DocumentId right = add("right", "x", {0});
  const StoreQuestion good{.text = "q", .vector = at(0), .right = {right}};
  const std::tuple<StoreQuestion, NegativesOptions, const char*> table[] = {
      {good, {.space = kPlane, .first_rank = 0}, "at ranks 0 to 100"},
      {good, {.space = kPlane, .first_rank = 9, .last_rank = 8}, "at ranks 9 to 8"},
      {good, {.space = kPlane, .by_vector = false, .by_word = false}, "neither by vector nor by word"},
      {good, {.space = kPlane, .most_share = NAN}, "a limit of negatives is nan"},
      {good, {}, "question 0 has a vector, but no space is named"},
      {{.text = "who?", .right = {}}, {}, "question 0, \"who?\", has no right document"},
      {{.text = "q", .vector = at(0), .right = {right}, .encoder = "map-1"},
       {.space = kPlane},
       "does not know \"map-1\""},
  };
  for (const auto& [question, options, part] : table)
    expect_error<OptionError>(
        [&, &question = question, &options = options] { mine_negatives(store, std::vector{question}, options); }, part);
}

}  // namespace
}  // namespace graft
