#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/quantised.hpp"

namespace graft {

namespace detail {
class GgufCursor;
}

/// What a GGUF file says of itself: keys such as "llama.block_count" with typed values.
///
/// Every error of a getter is a FormatError that names the file and the key:
/// `model.gguf: "llama.block_count" is 0, but must be an integer from 1 to 1024`.
/// A getter with a fallback gives it for a key that is not there. Texts are views into the object.
class GgufMetadata {
 public:
  bool has(std::string_view key) const { return entries_.contains(key); }

  /// Sorted.
  std::vector<std::string_view> keys() const;

  /// An integer of any width in [min, max].
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max, std::int64_t fallback) const;

  /// A finite number in [min, max], integer or not.
  double number(std::string_view key, double min, double max) const;
  double number(std::string_view key, double min, double max, double fallback) const;

  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const;

  /// Any bytes: nothing says that they are UTF-8.
  std::string_view text(std::string_view key) const;
  std::string_view text(std::string_view key, std::string_view fallback) const;

  /// An array of strings, of integers of any width, of finite numbers (integers or not).
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;

  /// The file's path, for messages.
  const std::string& where() const { return where_; }

  /// FormatError: `where: "key" is <value>, but must be <wanted>`.
  [[noreturn]] void fail(std::string_view key, std::string_view wanted) const;

 private:
  friend class GgufFile;

  struct Entry {
    std::uint32_t type = 0;  // of the value, or of each element
    bool array = false;
    std::uint64_t count = 1;
    std::uint64_t begin = 0;  // of the first element in header_
  };

  void parse(detail::GgufCursor& cursor, std::uint64_t count);
  static void skip_values(detail::GgufCursor& cursor, const Entry& entry, const std::string& what);
  const Entry* find(std::string_view key) const;
  const Entry& scalar(std::string_view key, std::string_view wanted) const;
  const Entry& array(std::string_view key, std::string_view wanted) const;
  template <class Number>
  Number value_at(std::uint64_t at) const;
  std::optional<std::int64_t> integer_at(std::uint32_t type, std::uint64_t at) const;
  std::optional<double> number_at(std::uint32_t type, std::uint64_t at) const;
  std::string_view text_at(std::uint64_t at) const;
  std::string described(const Entry& entry) const;

  std::string where_;
  std::vector<char> header_;  // the bytes of the file up to the tensors' data; all lengths in it are checked
  std::map<std::string, Entry, std::less<>> entries_;
};

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
