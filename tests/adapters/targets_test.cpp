#include "graft/adapters/targets.hpp"

#include <gtest/gtest.h>

#include "graft/adapters/kinds/lora.hpp"
#include "graft/adapters/layer_patterns.hpp"
#include "support/error_message.hpp"

namespace graft {
namespace {

std::vector<TargetCandidate> bert(int layers) {
  std::vector<TargetCandidate> modules{{"bert"}, {"bert.embeddings.word_embeddings", true}, {"bert.encoder.layer"}};
  for (int i = 0; i < layers; ++i) {
    const std::string at = message("bert.encoder.layer.", i);
    modules.push_back({at + ".attention"});
    for (const auto* name : {".attention.self.query", ".attention.self.key", ".attention.self.value",
                             ".attention.output.dense", ".intermediate.dense", ".output.dense"}) {
      modules.push_back({message(at, name), true, true});
    }
    modules.push_back({at + ".output.LayerNorm"});
  }
  modules.push_back({"bert.pooler.dense", true, true});
  modules.push_back({"classifier", true, true});
  return modules;
}

std::string failure(const Targets& targets, int layers = 2) {
  return error_message([&] { match(targets, bert(layers)); });
}

TEST(Targets, SuffixMeansWholePartsOfThePath) {
  const auto report = match({.layers = {"query", "output.dense"}}, bert(2));
  EXPECT_EQ(report.patterns[0].layers, (std::vector<std::string>{"bert.encoder.layer.0.attention.self.query",
                                                                 "bert.encoder.layer.1.attention.self.query"}));
  EXPECT_EQ(report.patterns[1].layers.size(), 4u) << "that of the attention too, as in PEFT";
  EXPECT_EQ(report.layers.size(), 6u);
  EXPECT_TRUE(matches_suffix("a.query", "query"));
  EXPECT_FALSE(matches_suffix("a.subquery", "query"));
  EXPECT_TRUE(matches_suffix("query", "query"));
  EXPECT_FALSE(matches_suffix("query", "a.query"));
}

TEST(Targets, AllLinearTakesEveryLinearLayerButTheHead) {
  const auto report = match({.layers = {"all-linear"}}, bert(12));
  EXPECT_EQ(report.layers.size(), 12u * 6 + 1);
  EXPECT_EQ(report.heads, std::vector<std::string>{"classifier"});
  auto modules = bert(1);
  modules.push_back({"lm_head", true, true});
  modules.push_back({"cls.predictions.decoder", true, true});
  EXPECT_EQ(match({.layers = {"all-linear"}}, modules).layers.size(), 7u);
}

TEST(Targets, PatternsThatOverlapTakeALayerOnce) {
  const auto report = match({.layers = {"all-linear", "query"}}, bert(2));
  EXPECT_EQ(report.patterns[1].layers.size(), 2u);
  EXPECT_EQ(report.layers.size(), 13u);
}

TEST(Targets, APatternTakesWholePaths) {
  const auto report = match({.pattern = R"(.*\.1\..*(query|key))", .excluded_pattern = ".*key"}, bert(2));
  EXPECT_EQ(report.layers, std::vector<std::string>{"bert.encoder.layer.1.attention.self.query"});
  EXPECT_EQ(report.excluded, std::vector<std::string>{"bert.encoder.layer.1.attention.self.key"});
  EXPECT_EQ(
      failure({.pattern = "query"}),
      "OptionError: targets do not fit the model; nothing was changed:\n  target pattern \"query\" takes no layer; "
      "it must match a whole path, such as \"bert.embeddings.word_embeddings\"");
  EXPECT_EQ(failure({.pattern = ".*query", .excluded_pattern = "(a+)+$"}),
            "OptionError: targets do not fit the model; nothing was changed:\n  exclusion \"(a+)+$\" matches nothing");
  EXPECT_EQ(failure({.pattern = "(a"}), "OptionError: regular expression \"(a\", character 0: \"(\" is not closed");
  EXPECT_EQ(failure({.layers = {"query"}, .pattern = ".*"}),
            "OptionError: targets are named by a list and by a pattern; give one of them");
  EXPECT_EQ(failure({.pattern = ".*", .layer_numbers = {1}}),
            "OptionError: layer numbers narrow a list of targets, not a pattern; write them into the pattern");
}

TEST(LayerPatterns, GiveLayersTheirRankAndAlphaByTheEndOfTheirPath) {
  const std::vector<std::string> layers = {"query", "layer.0.query", "layer.1.query", "layer.1.subquery"};
  const auto options = options_by_layer(
      layers, LoraOptions{.rank = 8, .alpha = 16},
      {.rank = {{"^query", 1}, {"[01].query", 2}, {"sub.*", 3}}, .alpha = {{"1\\.(sub)?query", 4}, {"query", 5}}});
  EXPECT_EQ(options.at("query").rank, 1);
  EXPECT_EQ(options.at("layer.0.query").rank, 2);
  EXPECT_EQ(options.at("layer.1.subquery").rank, 3);
  EXPECT_EQ(options.at("query").alpha, 5);
  EXPECT_EQ(options.at("layer.1.query").alpha, 4) << "the first key in byte order";
  EXPECT_EQ(options.at("layer.1.subquery").alpha, 4);
  EXPECT_EQ(
      error_message([&] {
        options_by_layer(layers, LoraOptions{}, {.rank = {{"ery", 1}}, .alpha = {{"key", 1}}});
      }),
      "OptionError: patterns that give no target its value; nothing was changed:\n  rank pattern \"ery\"\n  alpha "
      "pattern \"key\"");
}

TEST(Targets, ExclusionsWin) {
  const auto report = match({.layers = {"all-linear"}, .excluded = {"pooler.dense", "intermediate.dense"}}, bert(2));
  EXPECT_EQ(report.layers.size(), 10u);
  EXPECT_EQ(report.excluded.size(), 3u);
}

TEST(Targets, LayerNumbersChooseMembersOfTheList) {
  const auto report = match({.layers = {"query", "value"}, .layer_numbers = {3}}, bert(4));
  EXPECT_EQ(report.layers, (std::vector<std::string>{"bert.encoder.layer.3.attention.self.query",
                                                     "bert.encoder.layer.3.attention.self.value"}));
  const std::vector<TargetCandidate> experts{{"model.layers.1.experts.0.up", true, true},
                                             {"model.layers.0.experts.1.up", true, true}};
  EXPECT_EQ(match({.layers = {"up"}, .layer_numbers = {1}}, experts).layers,
            std::vector<std::string>{"model.layers.1.experts.0.up"})
      << "the first number counts";
  EXPECT_EQ(match({.layers = {"up"}, .layer_numbers = {1}, .layer_list = "experts"}, experts).layers,
            std::vector<std::string>{"model.layers.0.experts.1.up"});
}

TEST(Targets, HeadsCanBeNamedOrRefused) {
  EXPECT_TRUE(match({.layers = {"query"}, .heads = std::vector<std::string>{}}, bert(1)).heads.empty());
  EXPECT_EQ(match({.layers = {"query"}, .heads = std::vector<std::string>{"pooler"}},
                  [] {
                    auto modules = bert(1);
                    modules.push_back({"bert.pooler"});
                    return modules;
                  }())
                .heads,
            std::vector<std::string>{"bert.pooler"});
}

TEST(Targets, ReportSaysWhatEachPatternTook) {
  EXPECT_EQ(match({.layers = {"query", "pooler.dense"}, .excluded = {"0.attention.self.query"}}, bert(3)).table(),
            "\"query\": 2 layers, bert.encoder.layer.1.attention.self.query ... "
            "bert.encoder.layer.2.attention.self.query\n"
            "\"pooler.dense\": 1 layer, bert.pooler.dense\n"
            "excluded: 1\n"
            "trained in full: classifier\n");
}

TEST(Targets, APatternThatTakesNothingIsAnErrorWithTheNearestNames) {
  EXPECT_EQ(failure({.layers = {"query", "vlaue", "q_proj"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"vlaue\" matches nothing; nearest: \"value\", \"dense\", \"key\"\n"
            "  target \"q_proj\" matches nothing; nearest: \"query\", \"dense\", \"key\"")
      << "though \"query\" took some, and all faults at once";
  EXPECT_EQ(failure({.layers = {"self.qury"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"self.qury\" matches nothing; nearest: \"self.query\", \"self.key\", \"self.value\"");
  EXPECT_EQ(
      failure({.layers = {"attention"}}),
      "OptionError: targets do not fit the model; nothing was changed:\n"
      "  target \"attention\" matches \"bert.encoder.layer.0.attention\", which is not a layer that takes an adapter");
  EXPECT_EQ(failure({.layers = {"classifier"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"classifier\" matches \"classifier\", which is a head and trained in full");
  EXPECT_EQ(failure({.layers = {}}),
            "OptionError: no target was named; give layer names such as \"query\", or \"all-linear\"");
  EXPECT_EQ(failure({.layers = {""}}).find("OptionError: targets do not fit"), 0u);
}

TEST(Targets, ExclusionsNumbersAndHeadsMustTakeSomethingToo) {
  EXPECT_EQ(failure({.layers = {"query"}, .excluded = {"query"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"query\" matches only layers that are excluded");
  EXPECT_EQ(failure({.layers = {"query"}, .excluded = {"keys"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  exclusion \"keys\" matches nothing; nearest: \"key\", \"dense\", \"query\"");
  EXPECT_EQ(failure({.layers = {"query"}, .layer_numbers = {1, 2}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  layer number 2 holds no target; the model has 0 to 1");
  EXPECT_EQ(failure({.layers = {"pooler.dense"}, .layer_numbers = {1}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  target \"pooler.dense\" matches 1 layers, none of them inside the chosen layer numbers\n"
            "  layer number 1 holds no target; the model has 0 to 1");
  EXPECT_EQ(failure({.layers = {"query"}, .heads = std::vector<std::string>{"classifer"}}),
            "OptionError: targets do not fit the model; nothing was changed:\n"
            "  head \"classifer\" matches nothing; nearest: \"classifier\", \"layer\", \"dense\"");
}

}  // namespace
}  // namespace graft
