#include "graft/retrieval/filter.hpp"

#include <random>

#include "retrieval/support.hpp"

namespace graft {
namespace {

using test::expect_error;

TEST(Filter, ParsesEveryOperator) {
  EXPECT_EQ(Filter::parse("a = 1"), Filter::equal("a", 1));
  EXPECT_EQ(Filter::parse("a == 'x'"), Filter::equal("a", "x"));
  EXPECT_EQ(Filter::parse("a != true"), !Filter::equal("a", true));
  EXPECT_EQ(Filter::parse("a <> -2.5"), !Filter::equal("a", -2.5));
  EXPECT_EQ(Filter::parse("a<1"), Filter::less("a", 1));
  EXPECT_EQ(Filter::parse("a<=1"), Filter::at_most("a", 1));
  EXPECT_EQ(Filter::parse("a>1e3"), Filter::greater("a", 1000.0));
  EXPECT_EQ(Filter::parse("a >= +1"), Filter::at_least("a", 1));
  EXPECT_EQ(Filter::parse("a in (1, 'x', false)"), Filter::one_of("a", {1, "x", false}));
  EXPECT_EQ(Filter::parse("a NOT IN ()"), !Filter::one_of("a", {}));
  EXPECT_EQ(Filter::parse("a.b-c_d EXISTS"), Filter::exists("a.b-c_d"));
  EXPECT_EQ(Filter::parse(R"("my \"key\"" = 'it\'s')"), Filter::equal("my \"key\"", "it's"));
  EXPECT_EQ(Filter::parse("'and' = 1"), Filter::equal("and", 1));
}

TEST(Filter, NotBindsBeforeAndBeforeOr) {
  const Filter a = Filter::exists("a"), b = Filter::exists("b"), c = Filter::exists("c");
  EXPECT_EQ(Filter::parse("not a exists and b exists or c exists"), ((!a && b) || c));
  EXPECT_EQ(Filter::parse("a exists or b exists and c exists"), a || (b && c));
  EXPECT_EQ(Filter::parse("(a exists or b exists) and c exists"), (a || b) && c);
  EXPECT_EQ(Filter::parse("not (a exists and not b exists)"), !(a && !b));
}

Filter random_filter(std::mt19937_64& random, int depth) {
  const char* fields[] = {"section", "a.b", "two words", "not", "q\"uote", "ü"};
  const std::string field = fields[random() % 6];
  const auto value = [&]() -> FilterValue {
    switch (random() % 5) {
      case 0:
        return random() % 2 == 0;
      case 1:
        return static_cast<std::int64_t>(random());
      case 2:
        return static_cast<double>(static_cast<std::int64_t>(random() % 100)) / 4 - 7;
      case 3:
        return 1e300;
      default:
        return std::string("te\\xt' OR 1=1 --\"");
    }
  };
  switch (random() % (depth > 0 ? 10 : 7)) {
    case 0:
      return Filter::equal(field, value());
    case 1:
      return Filter::less(field, value());
    case 2:
      return Filter::at_most(field, value());
    case 3:
      return Filter::greater(field, value());
    case 4:
      return Filter::at_least(field, value());
    case 5:
      return Filter::exists(field);
    case 6:
      return Filter::one_of(field, std::vector<FilterValue>(random() % 3, value()));
    case 7:
      return random_filter(random, depth - 1) && random_filter(random, depth - 1);
    case 8:
      return random_filter(random, depth - 1) || random_filter(random, depth - 1);
    default:
      return !random_filter(random, depth - 1);
  }
}

TEST(Filter, TextParsesBackToTheSameFilter) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const Filter filter = random_filter(random, 4);
    ASSERT_EQ(Filter::parse(filter.text()), filter) << filter.text();
  }
}

TEST(Filter, TextIsNoDeeperThanWhatWasParsed) {
  std::string nots, pairs = "a != 1";
  for (int i = 0; i < 63; ++i) {
    nots += "not ";
    pairs = "(" + pairs + " and b exists or not c in (1)) and d > 2";
  }
  for (const std::string& text : {nots + "(a = 1 or b = 2)", nots + "a in (1)", pairs}) {
    const Filter filter = Filter::parse(text);
    EXPECT_EQ(Filter::parse(filter.text()), filter);
  }
  EXPECT_EQ(Filter::parse("not (a = 1) and (not (b in (1, 'x'))) or (c exists and d < 2)").text(),
            "a != 1 and b not in (1, \"x\") or c exists and d < 2");
}

TEST(Filter, SaysWhereTheTextIsWrong) {
  const std::pair<const char*, const char*> table[] = {
      {"", "filter \"\", byte 1: the name of a field is expected"},
      {"section = ", "byte 11: a value is missing; write \"text\", a number, true or false"},
      {"section = graphics", "byte 11: \"graphics\" is no value; write \"text\" in quotes"},
      {"section = 'x", "byte 11: the text that begins with ' has no end"},
      {"section = 'x\\", "has no end"},
      {"section", "byte 8: one of = != < <= > >= in exists is expected after a field"},
      {"section like 'x'", "byte 9: one of ="},
      {"(a = 1", "byte 7: a \")\" is missing"},
      {"a = 1)", "byte 6: \"and\", \"or\" or the end is expected"},
      {"a = 1 b = 2", "byte 7: \"and\", \"or\" or the end is expected"},
      {"a in 1", "byte 6: \"(\" is expected after \"in\""},
      {"a in (1 2)", "byte 9: \",\" or \")\" is expected"},
      {"a in (1,)", "byte 9: a value is missing"},
      {"a not 1", "byte 7: \"in\" is expected after \"not\""},
      {"and = 1", "byte 1: the name of a field is expected"},
      {"'' = 1", "a field has an empty name"},
      {"a = 1e999", "\"1e999\" is no value"},
      {"a = 99999999999999999999999x", "is no value"},
      {"a = nan", "\"nan\" is no value"},
      {"a = 1; DROP TABLE documents", "byte 6: \"and\", \"or\" or the end is expected"},
  };
  for (const auto& [text, part] : table) expect_error<OptionError>([&] { Filter::parse(text); }, part);
  expect_error<OptionError>([] { Filter::parse(std::string(100'000, '(')); }, "more than 64 levels");
  std::string nots, many = "a in (0";
  for (int i = 0; i < 100'000; ++i) nots += "not ";
  for (int i = 0; i < 10'001; ++i) many += ",1";
  expect_error<OptionError>([&] { Filter::parse(nots); }, "more than 64 levels");
  expect_error<OptionError>([&] { Filter::parse(many + ")"); }, "more than 10000 values");
}

TEST(Filter, RefusesValuesThatCompareWithNothing) {
  expect_error<OptionError>([] { Filter::equal("", 1); }, "names no field");
  expect_error<OptionError>([] { Filter::less("a", std::nan("")); }, "field \"a\" is compared with nan");
  expect_error<OptionError>([] { Filter::equal("a", "\xff"); }, "text that is not UTF-8 at byte 0");
  expect_error<OptionError>([] { Filter::exists("x\xff"); }, "is not UTF-8 at byte 1");
}

TEST(Filter, RandomBytesEitherParseOrThrowAnOptionError) {
  std::mt19937_64 random(2);
  const std::string alphabet = "ab01 .'\"\\()<>=!,andornotin\n\xc3\xff\0x";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::size_t n = random() % 24; n > 0; --n) text += alphabet[random() % alphabet.size()];
    try {
      const Filter filter = Filter::parse(text);
      ASSERT_EQ(Filter::parse(filter.text()), filter);
    } catch (const OptionError&) {
    }
  }
}

}  // namespace
}  // namespace graft
