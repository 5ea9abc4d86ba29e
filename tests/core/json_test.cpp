#include "graft/core/json.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/output.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

std::string parse_error(std::string_view text) {
  return error_message([&] { parse_json(text, "a.json"); });
}

TEST(ParseJson, KeepsTypesAndExactIntegers) {
  const Json value = parse_json(
      R"( {"a":[1,-2,18446744073709551615,9007199254740993],"b":{"c":null,"d":true},"e":"\u00e9"} )", "a.json");
  EXPECT_EQ(value["a"][2].get<std::uint64_t>(), UINT64_MAX);
  EXPECT_EQ(value["a"][3].get<std::int64_t>(), 9007199254740993);
  EXPECT_TRUE(value["b"]["c"].is_null());
  EXPECT_EQ(value["b"]["d"], true);
  EXPECT_EQ(value["e"], "\xC3\xA9");
  EXPECT_EQ(value, Json::parse(value.dump()));
}

TEST(ParseJson, RefusesWhatIsNotStrict) {
  const struct {
    std::string_view text, error;
  } cases[] = {
      {"", "FormatError: a.json, byte 0: not valid JSON: syntax error while parsing value - unexpected end of input"},
      {"{\"a\":1,\"a\":1}", "FormatError: a.json: the key \"a\" is repeated in one object"},
      {"[{\"a\":{\"b\":1,\"\\u0062\":2}}]", "FormatError: a.json: the key \"b\" is repeated in one object"},
      {"\xEF\xBB\xBF{}", "FormatError: a.json, byte 0: starts with a byte order mark; save it as UTF-8 without one"},
      {std::string_view("{}\0", 3), "FormatError: a.json, byte 2: not valid JSON: a NUL byte"},
      {"{} {}", "FormatError: a.json, byte 3: not valid JSON: syntax error while parsing value - unexpected '{'"},
      {"[1,]", "FormatError: a.json, byte 3: not valid JSON: syntax error while parsing value - unexpected ']'"},
      {"[1] // x", "FormatError: a.json, byte 4: not valid JSON: syntax error while parsing value - invalid literal"},
      {"[NaN]", "FormatError: a.json, byte 1: not valid JSON: syntax error while parsing value - invalid literal"},
      {"[1e999]", "FormatError: a.json, byte 5: not valid JSON: number overflow parsing '1e999'"},
      {"[\"\\ud800\"]",
       "FormatError: a.json, byte 8: not valid JSON: syntax error while parsing value - invalid string: "
       "surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF"},
      {"[\"\xFF\"]",
       "FormatError: a.json, byte 2: not valid JSON: syntax error while parsing value - invalid string: "
       "ill-formed UTF-8 byte"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(parse_error(text).substr(0, error.size()), error) << text;
}

TEST(ParseJson, StopsAtDepthAndLength) {
  const JsonLimits limits{.depth = 3, .bytes = 20};
  EXPECT_NO_THROW(parse_json("[[[1]]]", "a", limits));
  EXPECT_EQ(error_message([&] { parse_json("[[[[1]]]]", "a", limits); }),
            "FormatError: a: nested deeper than 3 levels");
  EXPECT_EQ(error_message([&] { parse_json(std::string(21, ' '), "a", limits); }),
            "FormatError: a: has 21 bytes of JSON, more than the limit of 20");
  EXPECT_EQ(parse_error(std::string(1'000'000, '[')), "FormatError: a.json: nested deeper than 64 levels");
}

TEST(ParseJson, MessageStaysShortForAHugeToken) {
  EXPECT_LT(parse_error("[\"" + std::string(1'000'000, 'x') + "\x01\"]").size(), 300u);
}

TEST(ParseJson, DamagedTextNeverCrashes) {
  const std::string sound =
      R"({"a":[1,-2.5e3,"x\u00e9\n"],"b":{"c":null,"d":[true,false,{}]},"e":18446744073709551615})";
  std::mt19937_64 random(3);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = sound;
    for (int i = round % 3; i >= 0; --i) damaged[random() % damaged.size()] = static_cast<char>(random());
    if (round % 5 == 0) damaged.resize(random() % damaged.size());
    try {
      json_text(parse_json(damaged, "a"));
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10000);
}

TEST(JsonText, LooksAsPythonWritesIt) {
  // python3 -c 'import json; print(json.dumps({"b": [1, 0.1, 1e-05, 0.0], "a": {}, "é": "ü\n\u007f", "n": None},
  // indent=2, sort_keys=True))'
  EXPECT_EQ(
      json_text({{"b", {1, 0.1, 1e-05, 0.0}}, {"a", Json::object()}, {"\xC3\xA9", "\xC3\xBC\n\x7F"}, {"n", nullptr}}),
      "{\n  \"a\": {},\n  \"b\": [\n    1,\n    0.1,\n    1e-05,\n    0.0\n  ],\n  \"n\": null,\n  \"\\u00e9\": "
      "\"\\u00fc\\n\\u007f\"\n}");
  EXPECT_EQ(error_message([] { json_text("\xFF"); }).find("OptionError: cannot be written as JSON: "), 0u);
}

TEST(JsonText, WritesNumbersAsPythonDoes) {
  // python3 -c 'print([1e15, 9999999999999998.0, 1e16, 1e22, 0.0001, 0.00001, -0.0, 1.5e-7, 1e300, 5e-324])'
  for (const char* number : {"1000000000000000.0", "9999999999999998.0", "1e+16", "1e+22", "0.0001", "1e-05", "-0.0",
                             "1.5e-07", "1e+300", "5e-324"})
    EXPECT_EQ(json_text(Json::parse(number)), number);
  EXPECT_EQ(error_message([] {
              json_text({{"a", std::nan("")}});
            }),
            "OptionError: cannot be written as JSON: nan; give a finite number");
}

TEST(ReadJson, NamesTheFile) {
  const TemporaryDirectory directory;
  write_file(directory / "a.json", "[1,");
  const std::string path = (directory / "a.json").string();
  EXPECT_EQ(error_message([&] { read_json(path); }).find("FormatError: " + path + ", byte 3: not valid JSON"), 0u);
  EXPECT_EQ(error_message([&] { read_json(path, {.bytes = 2}); }),
            "FormatError: " + path + ": has 3 bytes, more than the limit of 2");
}

TEST(JsonFields, GivesValuesAndFallbacks) {
  const Json json = parse_json(R"({"i":3,"f":0.5,"b":true,"s":"x","l":["a","b"],"o":{"i":4},"n":null})", "c.json");
  const JsonFields fields(json, "c.json");
  EXPECT_EQ(fields.integer("i", 1, 3), 3);
  EXPECT_EQ(fields.integer("n", 1, 3, 7), 7);
  EXPECT_EQ(fields.integer("absent", 1, 3, 7), 7);
  EXPECT_EQ(fields.number("f", 0, 1), 0.5);
  EXPECT_EQ(fields.number("i", 0, 9), 3.0);
  EXPECT_TRUE(fields.boolean("b"));
  EXPECT_TRUE(fields.boolean("absent", true));
  EXPECT_EQ(fields.text("s"), "x");
  EXPECT_EQ(fields.text("n", "y"), "y");
  EXPECT_EQ(fields.texts("l"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(fields.texts_or_none("n").empty());
  EXPECT_EQ(fields.object("o").integer("i", 0, 9), 4);
  EXPECT_FALSE(fields.has("n"));
}

TEST(JsonFields, ErrorsNameFileFieldValueAndRange) {
  const Json json = parse_json(
      R"({"zero":0,"two":2.0,"neg":-1,"big":18446744073709551615,"huge":18446744073709551616,"s":"x","l":["a",1],"n":null})",
      "c.json");
  const JsonFields f(json, "c.json");
  const auto error = [](auto call) { return error_message(call); };
  EXPECT_EQ(error([&] { f.integer("zero", 1, 9); }),
            "FormatError: c.json: \"zero\" is 0, but must be an integer from 1 to 9");
  EXPECT_EQ(error([&] { f.integer("two", 1, 9); }),
            "FormatError: c.json: \"two\" is 2.0, but must be an integer from 1 to 9");
  EXPECT_EQ(error([&] { f.integer("neg", 0, 9); }),
            "FormatError: c.json: \"neg\" is -1, but must be an integer from 0 to 9");
  EXPECT_EQ(
      error([&] { f.integer("big", -1, INT64_MAX); }),
      "FormatError: c.json: \"big\" is 18446744073709551615, but must be an integer from -1 to 9223372036854775807");
  EXPECT_EQ(error([&] { f.integer("huge", 0, 9); }),
            "FormatError: c.json: \"huge\" is 1.8446744073709552e+19, but must be an integer from 0 to 9");
  EXPECT_EQ(error([&] { f.integer("gone", 0, 9); }),
            "FormatError: c.json: \"gone\" is missing, but must be an integer from 0 to 9");
  EXPECT_EQ(error([&] { f.integer("s", 0, 9, 5); }),
            "FormatError: c.json: \"s\" is \"x\", but must be an integer from 0 to 9");
  EXPECT_EQ(error([&] { f.number("s", 0, 1); }),
            "FormatError: c.json: \"s\" is \"x\", but must be a number from 0 to 1");
  EXPECT_EQ(error([&] { f.boolean("zero"); }), "FormatError: c.json: \"zero\" is 0, but must be true or false");
  EXPECT_EQ(error([&] { f.text("n"); }), "FormatError: c.json: \"n\" is null, but must be a string");
  EXPECT_EQ(error([&] { f.texts("l"); }),
            "FormatError: c.json: \"l\" is an array of 2, but must be an array of strings, and holds 1");
  EXPECT_EQ(error([&] { f.object("l"); }), "FormatError: c.json: \"l\" is an array of 2, but must be an object");
  EXPECT_EQ(error([&] { JsonFields(json["l"], "c.json"); }),
            "FormatError: c.json: is an array of 2, but must be a JSON object");
}

}  // namespace
}  // namespace graft
