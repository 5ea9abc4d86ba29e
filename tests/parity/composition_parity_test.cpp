// graft's tokenizers against Hugging Face's in every composition of its components. The references are written by
// tests/reference/composition_parity.py, whose first lines explain the files.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "parity/tokenizer_reference.hpp"

#include "graft/text/detail/read_normalizer.hpp"

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

TEST(CompositionParity, EveryScalarInEveryNormalForm) {
  for (const char* name : {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"}) {
    const std::vector<std::string> expected = read_texts(path_of(std::string("scalars.") + name));
    ASSERT_EQ(expected.size(), 0x1100u - 8);
    std::vector<std::unique_ptr<const detail::Rewrite>> steps;
    detail::Growth growth;
    const Json component{{"type", name}};
    detail::read_rewrites(JsonFields(component, name), {}, growth, steps);
    ASSERT_EQ(steps.size(), 1u);
    for (char32_t begin = 0, i = 0; begin < 0x110000; begin += 256) {
      if (begin >= 0xD800 && begin < 0xE000) continue;
      std::string text;
      for (char32_t c = begin; c < begin + 256; ++c) {
        text += 'a';
        append_utf8(text, c);
        text += 'b';
      }
      AlignedText ours;
      detail::PlainNormalizer().normalize(text, 0, ours);
      steps[0]->apply(ours);
      ASSERT_EQ(shown(ours.bytes), shown(expected[i++])) << name << " from " << static_cast<std::uint32_t>(begin);
    }
  }
}

}  // namespace
}  // namespace graft
