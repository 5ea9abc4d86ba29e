#include "graft/retrieval/pairs.hpp"

#include <set>
#include <tuple>

#include "graft/retrieval/judgements.hpp"
#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

struct Pairs : testing::Test {
  TemporaryDirectory directory;
  std::filesystem::path path = directory / "pairs.jsonl";

  PairsFile read(const std::string& text, const PairsOptions& options = {}) const {
    test::write_bytes(path, text);
    return read_pairs(path, options);
  }
};

using Texts = std::vector<std::string>;

TEST_F(Pairs, AreReadByEveryName) {
  const PairsFile file = read(
      "\xEF\xBB\xBF{\"query\": \"q1\", \"positive\": \"p\", \"id\": 7}\n\n"
      "{\"anchor\": \"q2\", \"answer\": [\"p1\", \"p2\"], \"negative\": \"n\", \"score\": [1, 0.5, -2]}\r\n"
      "{\"question\": \"q3\", \"document\": \"d\", \"negatives\": [\"n1\"], \"negative_1\": \"n2\", \"negative_2\": "
      "null, "
      "\"scores\": null}");
  ASSERT_EQ(file.rows.size(), 3u);
  EXPECT_EQ(file.rows[0].question, "q1");
  EXPECT_EQ(file.rows[0].positives, Texts{"p"});
  EXPECT_TRUE(file.rows[0].scores.empty());
  EXPECT_EQ(file.rows[0].where, path.string() + ", line 1");
  EXPECT_EQ(file.rows[1].positives, (Texts{"p1", "p2"}));
  EXPECT_EQ(file.rows[1].negatives, Texts{"n"});
  EXPECT_EQ(file.rows[1].scores, (std::vector<double>{1, 0.5, -2}));
  EXPECT_EQ(file.rows[1].where, path.string() + ", line 3");
  EXPECT_EQ(std::set<std::string>(file.rows[2].negatives.begin(), file.rows[2].negatives.end()),
            (std::set<std::string>{"n1", "n2"}));
}

TEST_F(Pairs, BadRowsAreNamedOrSkippedAndCounted) {
  const std::pair<const char*, const char*> table[] = {
      {"no json", "pairs.jsonl, line 2"},
      {"[]", "pairs.jsonl, line 2"},
      {"{\"positive\": \"p\"}", "line 2: has no question; give it in one of \"query\", \"anchor\", \"question\""},
      {"{\"query\": \"q\"}",
       "line 2: has no text that answers the question; give it in one of \"positive\", \"answer\", \"document\""},
      {"{\"query\": \"q\", \"question\": \"q\", \"positive\": \"p\"}", "line 2: has both \"query\" and \"question\""},
      {"{\"query\": \"q\", \"positive\": \"p\", \"answer\": \"p\"}", "has both \"positive\" and \"answer\""},
      {"{\"query\": 3, \"positive\": \"p\"}", "\"query\" is 3"},
      {"{\"query\": \" \\t\", \"positive\": \"p\"}", "\"query\" is empty; a question needs words"},
      {"{\"query\": \"q\", \"positive\": 3}", "\"positive\" is 3, but must be a text or a list of texts"},
      {"{\"query\": \"q\", \"positive\": [\"p\", 3]}", "\"positive\""},
      {"{\"query\": \"q\", \"positive\": []}", "\"positive\" is an empty list; a pair needs a positive"},
      {"{\"query\": \"q\", \"positive\": [\"p\", \" \"]}", "\"positive\" has an empty text; leave it out"},
      {"{\"query\": \"q\", \"positive\": null}", "has no text that answers the question"},
      {"{\"query\": \"q\", \"positive\": \"Caf\\u00e9\", \"negative\": \"cafe\\u0301 \"}",
       "the negative \"cafe\xCC\x81 \" is one of the positives too"},
      {"{\"query\": \"q\", \"positive\": \"p\", \"score\": \"high\"}", "\"score\" is \"high\""},
      {"{\"query\": \"q\", \"positive\": \"p\", \"score\": [1, 2]}", "\"score\" has 2 numbers for 1 texts"},
      {"{\"query\": \"q\", \"positive\": [\"a\", \"b\", \"c\", \"d\"]}",
       "\"positive\" has 4 texts; at most 3 are read"},
      {"{\"query\": \"\xff\", \"positive\": \"p\"}", "line 2"},
  };
  const std::string good = "{\"query\": \"q\", \"positive\": \"p\"}\n";
  for (const auto& [row, part] : table) {
    expect_error<FormatError>([&, &row = row] { read(good + row + "\n", {.texts = 3}); }, part);
    const PairsFile rest = read(good + row + "\n" + good, {.skip_bad_rows = true, .texts = 3});
    EXPECT_EQ(rest.rows.size(), 2u) << row;
    EXPECT_EQ(rest.skipped, 1u) << row;
    EXPECT_NE(rest.faults.at(0).find(part), std::string::npos) << rest.faults[0];
  }
  expect_error<FormatError>([&] { read(""); }, "has no question with its answer");
  expect_error<FormatError>([&] { read("{}\n", {.skip_bad_rows = true}); }, "the first row: ");
  expect_error<FormatError>([&] { read(good + good, {.rows = 1}); }, "has more than 1 rows; split it");
  expect_error<FormatError>([&] { read("{\"query\": \"" + std::string(5000, 'x') + "\"", {.row_bytes = 1000}); },
                            "line 1");
  expect_error<FileError>([&] { read_pairs(directory / "nowhere"); }, "nowhere");
}

TEST(SpellingKey, IsOneForAllSpellingsOfAText) {
  const std::pair<const char*, const char*> same[] = {
      {"Tie\u0302\u0301ng  Vi\u1ec7t\n", "ti\u1ebfng vi\u1ec7t"},
      {"ＡＢＣ", "abc"},
      {"Straße", "STRASSE"},
      {"a\u00a0b\u2003c\u2028d\u0085e", "a b c d e"},
      {"co\u00adop", "coop"},
      {" \t x", "X"},
      {"\u1112\u1161\u11ab", "한"},
      {"ﬁn", "FIN"},
  };
  for (const auto& [a, b] : same) EXPECT_EQ(spelling_key(a), spelling_key(b)) << a;
  const std::pair<const char*, const char*> different[] = {
      {"C++", "C#"}, {"café", "cafe"}, {"a b", "ab"}, {"x-y", "x y"}, {"どう", "とう"}};
  for (const auto& [a, b] : different) EXPECT_NE(spelling_key(a), spelling_key(b)) << a;
  EXPECT_EQ(spelling_key("\xffX"), "\xffX");
  EXPECT_EQ(spelling_key("  "), "");
}

std::vector<QuestionPairs> rows(const std::vector<std::pair<const char*, Texts>>& given, const char* name) {
  std::vector<QuestionPairs> out;
  for (const auto& [question, positives] : given)
    out.push_back({.question = question, .positives = positives, .where = message(name, " ", out.size() + 1)});
  return out;
}

TEST(FindLeaks, NamesWhatTwoSetsShareInAnySpelling) {
  const auto training = rows({{"How?", {"By car."}}, {"Who", {"Ada", "Bob"}}, {"Why?", {"So."}}}, "train");
  const auto held = rows({{"  HOW? ", {"On foot."}}, {"When?", {"BOB", "ada"}}, {"Where?", {"Here."}}}, "test");
  const std::vector<Leak> leaks = find_leaks(training, held);
  ASSERT_EQ(leaks.size(), 3u);
  EXPECT_EQ(leaks[0].kind, Leak::Kind::question);
  EXPECT_EQ(std::tie(leaks[0].text, leaks[0].training, leaks[0].held_out),
            std::make_tuple("How?", "train 1", "test 1"));
  EXPECT_EQ(leaks[1].kind, Leak::Kind::answer);
  EXPECT_EQ(std::tie(leaks[1].text, leaks[1].training, leaks[1].held_out), std::make_tuple("Ada", "train 2", "test 2"));
  EXPECT_EQ(leaks[2].text, "Bob");
  EXPECT_TRUE(find_leaks(training, {}).empty());
}

TEST(SplitPairs, LeavesNoLeakAndIsTheSameEachTime) {
  std::vector<QuestionPairs> all;
  for (int i = 0; i < 400; ++i)  // answers of tens of rows, and questions that stand twice
    all.push_back({.question = message(i % 3 == 0 ? "QUESTION " : "question ", i % 150),
                   .positives = {message(i % 7 == 0 ? "a" : "A", i % 50 == 0 ? i : 1000 + i)},
                   .where = message(i)});
  const PairsSplit split = split_pairs(all, 0.2, SIZE_MAX, 3);
  EXPECT_EQ(split.training.size() + split.held_out.size(), 400u);
  EXPECT_NEAR(static_cast<double>(split.held_out.size()), 80, 4);
  std::vector<QuestionPairs> training, held;
  for (const std::size_t i : split.training) training.push_back(all[i]);
  for (const std::size_t i : split.held_out) held.push_back(all[i]);
  EXPECT_TRUE(find_leaks(training, held).empty());
  EXPECT_EQ(split_pairs(all, 0.2, SIZE_MAX, 3).held_out, split.held_out);
  EXPECT_NE(split_pairs(all, 0.2, SIZE_MAX, 4).held_out, split.held_out);
  EXPECT_LE(split_pairs(all, 0.2, 30, 3).held_out.size(), 30u);
  EXPECT_TRUE(split_pairs(all, 0).held_out.empty());
  for (QuestionPairs& row : all) row.positives = {"one and the same"};
  EXPECT_TRUE(split_pairs(all, 0.2).held_out.empty()) << "all belong together";
  expect_error<OptionError>([&] { split_pairs(all, 1); }, "the share of held-out questions is 1");
}

TEST_F(Pairs, QueriesAndJudgementsAreReadAsRagEvalReadsThem) {
  test::write_bytes(path, "{\"id\": \"q1\", \"text\": \"one\"}\n\n{\"_id\": 2, \"text\": \"two\", \"more\": 1}\n");
  const auto queries = read_judged_queries(path);
  ASSERT_EQ(queries.size(), 2u);
  EXPECT_EQ(queries[1].id, "2");
  EXPECT_EQ(queries[1].text, "two");
  EXPECT_EQ(queries[1].where, path.string() + ", line 3");
  test::write_bytes(path, "query\tdocument\tgrade\nq1\ta\t1\n2\t0\tb\t-2\nq1\tc\t3\n");
  const auto judgements = read_judgements(path);
  EXPECT_EQ(judgements.at("q1"), (Judgements{{"a", 1}, {"c", 3}}));
  EXPECT_EQ(judgements.at("2"), (Judgements{{"b", -2}}));
  test::write_bytes(path, "q1\ta\t1\nq1\ta\tmuch\n");
  expect_error<FormatError>([&] { read_judgements(path); }, "line 2: is \"q1\\x09a\\x09much\"");
  test::write_bytes(path, "");
  expect_error<FormatError>([&] { read_judgements(path); }, "says of no document that it is relevant");
  expect_error<FormatError>([&] { read_judged_queries(path); }, "has no query");
  test::write_bytes(path, "{\"id\": [1], \"text\": \"one\"}\n");
  expect_error<FormatError>([&] { read_judged_queries(path); }, "a string or an integer");
}

}  // namespace
}  // namespace graft
