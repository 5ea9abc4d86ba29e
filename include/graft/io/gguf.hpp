#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/gguf_metadata.hpp"
#include "graft/io/quantised.hpp"

namespace graft {

/// One tensor of a GGUF file.
struct GgufTensor {
  std::string name;
  GgufType type = GgufType::F32;
  std::vector<std::int64_t> shape = {};  ///< row-major, as Hugging Face has it: [out, in] of a linear layer
  std::uint64_t begin = 0;               ///< first byte, counted from the start of the file
  std::uint64_t end = 0;                 ///< one past the last byte

  std::uint64_t bytes() const { return end - begin; }
  std::uint64_t values() const { return bytes() / block_bytes(type) * block_values(type); }
};

/// What a file may ask for before it is refused.
struct GgufLimits {
  std::uint64_t header = 64 << 20;  ///< bytes before the tensors' data; it is held in memory
  std::size_t tensors = 100'000;
};

/// A GGUF file (version 2 or 3, little-endian), open for reading: a language model with its settings and vocabulary.
/// The constructor reads and checks the header; tensors are read when asked for.
///
/// Refused: lengths, counts and offsets that lead out of the file (before memory is asked for), repeated keys and
/// names, arrays within arrays, more than 4 dimensions, rows that are no whole number of blocks, offsets off the
/// file's alignment, tensors that overlap or leave a hole between them, and types that graft does not decode.
/// The format has no checksum: a flipped bit in the data cannot be seen.
/// Rows of q and k in files of architecture llama lie in another order than in Hugging Face's.
/// Threads: everything but moving may run on many at once.
class GgufFile {
 public:
  /// Throws FileError if `path` cannot be read, FormatError naming file, key or tensor, and rule if it is not sound.
  explicit GgufFile(const std::filesystem::path& path, const GgufLimits& limits = {});

  const std::filesystem::path& path() const { return file_.path(); }
  const GgufMetadata& metadata() const { return metadata_; }

  /// In the order of their data.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  /// nullptr if the file has no tensor of that name.
  const GgufTensor* find(std::string_view name) const;

  /// The same, but FormatError, naming the file, if there is none.
  const GgufTensor& tensor(std::string_view name) const;

  /// Fills `bytes`, which must be as long as the tensor of this file, with its blocks as they are. Throws OptionError
  /// if it is not, FileError if the file was cut short since it was opened.
  void read(const GgufTensor& tensor, std::span<std::byte> bytes) const;

  /// Fills `values` with all of the tensor's numbers, row after row, as dequantise() does. Throws as read().
  void read_float32(const GgufTensor& tensor, std::span<float> values) const;

 private:
  InputFile file_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/gguf-inl.hpp"
#endif
