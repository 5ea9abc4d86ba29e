#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"

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

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/gguf_metadata-inl.hpp"
#endif
