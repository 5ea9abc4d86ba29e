#include "graft/core/regular_expression.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "support/error_message.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

TEST(RegularExpression, TakesWhatPythonsFullmatchTakes) {
  const TemporaryDirectory directory;
  const auto file = directory / "expressions.json";
  run_python("regular_expressions.py", {file.string()});
  const Json rows = read_json(file);
  std::size_t understood = 0, refused = 0, broken = 0, taken = 0;
  for (const Json& row : rows) {
    const std::string expression = row[0];
    std::string error = "(no error)";
    std::vector<bool> found;
    try {
      const RegularExpression pattern(expression);
      for (const Json& name : row[1]) found.push_back(pattern.matches(name.get<std::string>()));
    } catch (const OptionError& fault) {
      error = fault.what();
    }
    if (row[2].is_null()) {
      EXPECT_NE(error, "(no error)") << expression;
      ++broken;
    } else if (error != "(no error)") {
      EXPECT_NE(error.find("not understood here"), std::string::npos) << expression << ": " << error;
      ++refused;
    } else {
      EXPECT_EQ(found, row[2].get<std::vector<bool>>()) << expression;
      for (const bool one : found) taken += one ? 1 : 0;
      ++understood;
    }
  }
  EXPECT_GT(understood, 6000u);
  EXPECT_GT(taken, 3000u);
  EXPECT_GT(broken, 1000u);
  EXPECT_LT(refused, understood / 10);
}

TEST(RegularExpression, TakesLayersAsAdaptersNameThem) {
  const RegularExpression layers(R"(.*\.(layer|h)\.[01]\.(?!crossattention).*(query|value))");
  EXPECT_TRUE(layers.matches("bert.encoder.layer.0.attention.self.query"));
  EXPECT_FALSE(layers.matches("bert.encoder.layer.2.attention.self.query"));
  EXPECT_FALSE(layers.matches("bert.encoder.layer.0.crossattention.self.query"));
  EXPECT_FALSE(layers.matches("bert.encoder.layer.0.attention.self.query.x"));
}

TEST(RegularExpression, WhatMakesBacktrackingExplodeIsAnsweredAtOnce) {
  // A backtracking matcher would take about 2^5000 steps; this test would not end.
  EXPECT_FALSE(RegularExpression("(a+)+$").matches(std::string(5000, 'a') + "b"));
  EXPECT_TRUE(RegularExpression("(a*)*(b|a*)*").matches(std::string(5000, 'a')));
  EXPECT_FALSE(RegularExpression("(?!(a|a)*$)a*b?").matches(std::string(5000, 'a')));
}

TEST(RegularExpression, EveryBadExpressionGetsItsMessage) {
  const std::string broken = "OptionError: regular expression ";
  const auto undone = [](std::string_view what) {
    return message(what, " not understood here; write the expression without");
  };
  const struct {
    std::string expression, error;
  } rows[] = {
      {"a(b", "character 1: \"(\" is not closed"},
      {"a)b", "character 1: \")\" closes no group"},
      {"[a", "character 0: \"[\" is not closed"},
      {"*a", "character 0: there is nothing to repeat"},
      {"a**", "character 2: a repetition is repeated; put it in a group"},
      {"a{3,2}", "character 1: the least of a repetition is more than its most"},
      {"a{99999}", "character 6: more than 10000 repetitions are asked for"},
      {"[b-a]", "character 1: a range goes backwards"},
      {"a\\", "character 1: the escape is cut short"},
      {"(a)\\1", "character 3: " + undone("a back reference is")},
      {"(?<=a)b", "character 0: " + undone("lookbehind is")},
      {"a*+", "character 2: " + undone("possessive repetition is")},
      {"(?>a)", "character 0: " + undone("an atomic group is")},
      {"(?i)a", "character 0: " + undone("this kind of group is")},
      {"\\pL", "character 0: " + undone("this escape is")},
      {"\xc3\xa9", "character 0: " + undone("a character outside ASCII is")},
  };
  for (const auto& [expression, error] : rows) {
    EXPECT_EQ(error_message([&] { RegularExpression pattern(expression); }),
              broken + quoted(expression) + ", " + error);
  }
  EXPECT_EQ(error_message([] { RegularExpression pattern("((a{100}){100}){100}"); }),
            broken + "\"((a{100}){100}){100}\" takes more than 10000 states; repeat less");
  EXPECT_EQ(error_message([] { RegularExpression pattern(std::string(101, '(')); }).substr(0, 32), broken);
  EXPECT_EQ(error_message([] { RegularExpression pattern(std::string(65'537, 'a')); }),
            "OptionError: a regular expression has 65537 bytes; at most 65536 are read");
}

TEST(RegularExpressionOf, TakesTheTextAlone) {
  const std::string text = "a.b[0]+(c)|d\\{2}^$*?";
  EXPECT_TRUE(RegularExpression(regular_expression_of(text)).matches(text));
  EXPECT_FALSE(RegularExpression(regular_expression_of("a.b")).matches("axb"));
}

}  // namespace
}  // namespace graft
