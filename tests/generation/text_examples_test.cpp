#include "graft/generation/text_examples.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/error_message.hpp"

namespace graft {
namespace {

TEST(TextExamples, WindowsLearnEachTokenOnce) {
  const Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  const std::vector<std::string> texts{"a b c d e f g h i j k l m <|im_end|>", "one two", "x"};
  const std::int32_t end = *tokenizer.id("<|endoftext|>");
  for (const std::size_t overlap : {0, 1, 3}) {
    for (const std::size_t most : {4, 5, 7, 64}) {
      const TextExamples data(texts, tokenizer, {.max_tokens = most, .overlap = overlap, .end = end});
      std::map<std::size_t, std::vector<std::int32_t>> learned;
      for (std::int64_t row = 0; row < data.size(); ++row) {
        const auto& ids = data.ids(row);
        EXPECT_LE(ids.size(), most);
        EXPECT_GE(ids.size(), 2u);
        std::size_t context = 0;
        while (data.labels(row)[context] == not_learned) ++context;
        // A window begins a text, or repeats the end of the one before it.
        std::vector<std::int32_t>& so_far = learned[data.source(row)];
        if (!so_far.empty()) {
          EXPECT_EQ(context, overlap);
          EXPECT_EQ(std::vector(so_far.end() - static_cast<std::ptrdiff_t>(context), so_far.end()),
                    std::vector(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(context)));
        } else {
          EXPECT_EQ(context, 0u);
        }
        for (std::size_t i = context; i < ids.size(); ++i) {
          EXPECT_EQ(data.labels(row)[i], ids[i]);
          so_far.push_back(ids[i]);
        }
      }
      for (std::size_t i = 0; i < texts.size(); ++i) {
        std::vector<std::int32_t> whole = tokenizer.encode(texts[i], {.special_tokens_in_text = false}).ids;
        whole.push_back(end);
        if (overlap == 0 && whole.size() % most == 1) whole.pop_back();  // a window of one token learns nothing
        EXPECT_EQ(learned[i], whole) << overlap << " of " << most;
      }
      EXPECT_EQ(data.cut(), most == 64 ? 0 : 1);
    }
  }
  const TextExamples plain(texts, tokenizer);
  EXPECT_EQ(plain.size(), 2);
  EXPECT_EQ(plain.dropped(), 1);
  EXPECT_EQ(tokenizer.decode(plain.ids(1), false), "one two");
}

TEST(TextExamples, SayWhatIsWrong) {
  const Tokenizer tokenizer = Tokenizer::load(GRAFT_DEPS "/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  const std::vector<std::string> one{"x"};
  EXPECT_EQ(error_message([&] { TextExamples({}, tokenizer); }),
            "OptionError: there is no text to learn from; give at least one");
  EXPECT_EQ(error_message([&] { TextExamples(one, tokenizer, {.max_tokens = 8, .overlap = 8}); }),
            "OptionError: windows of 8 tokens that overlap by 8; choose at least 2 tokens, and fewer that overlap");
  EXPECT_EQ(error_message([&] { TextExamples(one, tokenizer, {.max_tokens = 1, .overlap = 0}); }),
            "OptionError: windows of 1 tokens that overlap by 0; choose at least 2 tokens, and fewer that overlap");
  EXPECT_EQ(error_message([&] { TextExamples(one, tokenizer); }),
            "OptionError: no text has two tokens, so that nothing can be learned; give longer ones");
}

}  // namespace
}  // namespace graft
