// graft's tokenizers against Hugging Face's in every composition of its components. The references are written by
// tests/reference/composition_parity.py, whose first lines explain the files.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parity/tokenizer_reference.hpp"

namespace graft {
namespace {

std::string path_of(const std::string& name) { return GRAFT_REFERENCE "/composition/" + name; }

TEST(CompositionParity, IdsOffsetsTokensAndTextsAreThoseOfTheLibrary) {
  const std::vector<std::string> names = read_texts(path_of("names.texts"));
  ASSERT_GE(names.size(), 400u);
  std::size_t compared = 0;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const std::string own = path_of(std::to_string(n));
    SCOPED_TRACE(own + " " + names[n]);
    const std::vector<std::string> texts = read_texts(own + ".texts"), vocabulary = read_texts(own + ".vocabulary"),
                                   decoded = read_texts(own + ".decoded");
    const Tokenizer tokenizer = Tokenizer::load(own);
    Expected expected(own + ".tokens");
    ASSERT_EQ(expected.size(), texts.size());
    ASSERT_EQ(tokenizer.vocabulary_size(), vocabulary.size());
    for (std::size_t id = 0; id < vocabulary.size(); ++id) {
      ASSERT_EQ(shown(*tokenizer.token(static_cast<std::int32_t>(id))), shown(vocabulary[id]));
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Encoding ours = tokenizer.encode(texts[i]);
      ASSERT_TRUE(expected.next(ours)) << shown(texts[i]);
      ASSERT_EQ(shown(tokenizer.decode(ours.ids, n % 2 == 1)), shown(decoded[i])) << shown(texts[i]);
    }
    compared += texts.size();
  }
  EXPECT_GE(compared, 40'000u);
}

}  // namespace
}  // namespace graft
