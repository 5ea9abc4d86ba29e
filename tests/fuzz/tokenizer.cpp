#include "graft/text/tokenizer.hpp"

#include "fuzz/encode.hpp"
#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::tokenizer {

/// A tokenizer.json, and behind NUL a text for it.
void fuzz(std::string_view input) {
  const std::string_view json = cut(input);
  const std::string_view text = input.empty() ? "Hello, w\u00F6rld  \u4F60\u597D [CLS]\n123" : input.substr(0, 300);
  check_encoding(Tokenizer::load(file_of(json, "tokenizer.json")), text);
}

}  // namespace graft::fuzzing::tokenizer
