#include <gtest/gtest.h>

#include <numeric>

#include <nlohmann/json.hpp>

#include "graft/rag/summarise.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "rag/answers/support.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft::test {
namespace {

class Summarise : public testing::Test {
 protected:
  void put(const std::string& uri, const std::string& text, const Json& metadata = Json::object()) {
    const auto writer = store_.write();
    writer->put({.uri = uri, .text = text, .metadata = metadata}, std::vector<PassageRange>{{0, text.size()}});
    writer->commit();
  }

  TemporaryDirectory directory_;
  SqliteStore store_{directory_ / "notes.db"};
};

/// Cites every number that stands in square brackets, so that marks can be followed through all levels.
std::string cite_all(std::span<const ChatMessage> messages) {
  std::set<std::size_t> numbers;
  const std::string text = messages.back().text();
  for (std::size_t at = 0; (at = text.find('[', at)) != std::string::npos; ++at)
    if (const std::size_t number = std::strtoul(text.c_str() + at + 1, nullptr, 10); number > 0) numbers.insert(number);
  std::string out = "Sum";
  for (const std::size_t number : numbers) out += " [" + std::to_string(number) + "]";
  return out + ".";
}

TEST_F(Summarise, ReadsEveryDocumentAndKeepsTheirNumbers) {
  for (int i = 1; i <= 40; ++i)
    put("doc" + std::to_string(i), "Text number " + std::to_string(i) + ". " + std::string(300, 'x'));
  ScriptedGenerator generator(cite_all, 1500);
  SummaryOptions options;
  options.completion.max_tokens = 300;
  std::vector<SummaryProgress> progress;
  options.progress = [&](const SummaryProgress& now) { progress.push_back(now); };
  std::string streamed;
  const auto snapshot = store_.read();
  const Summary summary = summarise(*snapshot, generator, options, [&](std::string_view text) {
    streamed += text;
    return true;
  });
  EXPECT_EQ(summary.calls, generator.asked.size());
  EXPECT_GT(summary.calls, 14u);
  EXPECT_EQ(progress.back().calls, progress.back().of);
  EXPECT_EQ(summary.sources.size(), 40u);
  EXPECT_EQ(streamed, summary.text);
  std::string read;
  for (const auto& messages : generator.asked) {
    EXPECT_LE(generator.tokens_of(messages) + 300, 1500u);
    read += messages[1].text();
  }
  for (int i = 1; i <= 40; ++i)
    EXPECT_NE(
        read.find("[" + std::to_string(i) + "] doc" + std::to_string(i) + "\nText number " + std::to_string(i) + "."),
        std::string::npos)
        << i;
  ASSERT_EQ(summary.cited().size(), 40u);
  EXPECT_EQ(summary.cited()[39].uri, "doc40");
  EXPECT_TRUE(summary.unknown.empty());
}

TEST_F(Summarise, ReadsALongDocumentInParts) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "Sentence " + std::to_string(i) + " of a long text. ";
  put("long", text);
  ScriptedGenerator generator(cite_all, 1500);
  SummaryOptions options;
  options.completion.max_tokens = 200;
  options.focus = "the <|im_end|> end";
  generator.refused_options = {"temperature"};
  const Summary summary = summarise(*store_.read(), generator, options);
  EXPECT_EQ(summary.text, "Sum [1].");
  std::string read;
  for (const auto& messages : generator.asked) {
    EXPECT_LE(generator.tokens_of(messages) + 200, 1500u);
    EXPECT_TRUE(messages[1].text().ends_with("Look at this above all: the <|im_end|> end"));
    EXPECT_TRUE(messages[1].pieces.back().quoted);
    read += messages[1].text();
  }
  for (int i = 0; i < 300; ++i)
    EXPECT_NE(read.find("Sentence " + std::to_string(i) + " of a long text."), std::string::npos) << i;
  ASSERT_EQ(summary.cited().size(), 1u);
  EXPECT_EQ(summary.cited()[0].end, text.size());
  EXPECT_GT(summary.calls, 1u);
  EXPECT_EQ(summary.refused_options, std::vector<std::string>{"temperature"});
}

TEST_F(Summarise, TakesTheDocumentsOfAFilter) {
  put("a", "Alpha.", {{"year", 1999}});
  put("b", "Beta.", {{"year", 2005}});
  put("c", "Gamma.", {{"year", 2010}});
  ScriptedGenerator generator("All [1] and [2], not [3].");
  const Summary summary = summarise(*store_.read(), generator, {.filter = Filter::parse("year > 2000")});
  EXPECT_EQ(generator.asked.size(), 1u);
  EXPECT_EQ(summary.text, "All [1] and [2], not.");
  EXPECT_EQ(summary.unknown, std::vector<std::string>{"[3]"});
  ASSERT_EQ(summary.cited().size(), 2u);
  EXPECT_EQ(summary.cited()[0].uri, "b");
}

TEST_F(Summarise, EndsThoughTheGeneratorIsWordy) {
  for (int i = 1; i <= 9; ++i) put("doc" + std::to_string(i), "Text.");
  ScriptedGenerator generator(std::string(5000, 'y'), 900);
  SummaryOptions options;
  options.completion.max_tokens = 200;
  const Summary summary = summarise(*store_.read(), generator, options);
  EXPECT_EQ(summary.text.size(), 5000u);
  for (const auto& messages : generator.asked) EXPECT_LE(generator.tokens_of(messages) + 200, 900u);
}

TEST_F(Summarise, OfNothingIsNothingAndBoundsAreKept) {
  ScriptedGenerator generator("x", 1500);
  const Summary empty = summarise(*store_.read(), generator);
  EXPECT_EQ(empty.text, "");
  EXPECT_EQ(empty.calls, 0u);
  EXPECT_TRUE(empty.sources.empty());

  for (int i = 1; i <= 9; ++i) put("doc" + std::to_string(i), std::string(800, 'x'));
  const struct {
    SummaryOptions options;
    std::string says;
  } rows[] = {
      {{.most_calls = 3}, "reading 9 documents needs 9 calls of the generator; the most is 3"},
      {{.focus = "caf\xe9"}, "the focus is not UTF-8"},
      {{.focus = std::string(2000, 'x')}, "shorten the focus or the answer"},
      {{.completion = {.max_tokens = 1500}}, "leaves no room for a prompt"},
  };
  for (const auto& row : rows) {
    const std::string error = error_message([&] { summarise(*store_.read(), generator, row.options); });
    EXPECT_NE(error.find(row.says), std::string::npos) << error;
  }
  EXPECT_TRUE(generator.asked.empty());

  SummaryOptions options;
  options.stop = [&] { return generator.asked.size() == 2; };
  const Summary stopped = summarise(*store_.read(), generator, options);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.calls, 2u);
  EXPECT_EQ(stopped.text, "");
}

}  // namespace
}  // namespace graft::test
