#include "graft/io/gguf.hpp"

#include <vector>

#include "fuzz/encode.hpp"
#include "fuzz/fuzz.hpp"

namespace graft::fuzzing::gguf {

/// A GGUF file: all that it says can be asked for, and its vocabulary encodes a text.
void fuzz(std::string_view input) {
  const std::filesystem::path path = file_of(input, "input.gguf");
  const GgufFile file(path);
  const GgufMetadata& metadata = file.metadata();
  for (const std::string_view key : metadata.keys()) {
    check(metadata.has(key), "a key is not there");
    outcome([&] { return std::to_string(metadata.integer(key, INT64_MIN, INT64_MAX)); });
    outcome([&] { return std::to_string(metadata.number(key, -1e308, 1e308)); });
    outcome([&] { return std::to_string(metadata.boolean(key)); });
    outcome([&] { return std::string(metadata.text(key)); });
    outcome([&] { return std::to_string(metadata.texts(key).size()); });
    outcome([&] { return std::to_string(metadata.integers(key).size()); });
    outcome([&] { return std::to_string(metadata.numbers(key).size()); });
  }
  for (const GgufTensor& tensor : file.tensors()) {
    check(tensor.begin <= tensor.end && tensor.end <= input.size(), "a tensor lies outside the file");
    check(file.find(tensor.name) == &tensor, "a tensor is not found by its name");
    std::vector<float> values(tensor.values());
    file.read_float32(tensor, values);
  }
  check_encoding(Tokenizer::load(path), "Hello, w\u00F6rld  \u4F60\u597D <s>\n123");
}

}  // namespace graft::fuzzing::gguf
