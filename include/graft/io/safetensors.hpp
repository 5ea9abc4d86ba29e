#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"
#include "graft/core/output.hpp"

namespace graft {

/// The element types that a safetensors file can hold, by the names the file uses, in the order in which the reference
/// writer sorts tensors (last first).
enum class ElementType : std::uint8_t {
  BOOL,
  F4,
  F6_E2M3,
  F6_E3M2,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64,
};

/// The name in the file: "F32".
std::string_view element_type_name(ElementType type);

/// The type of that name, nothing for an unknown one. "f32" is unknown.
std::optional<ElementType> find_element_type(std::string_view name);

/// Bits of one element: 4 for F4, 6 for F6_*, else a multiple of 8.
int element_bits(ElementType type);

/// One tensor of a file: row-major, little-endian, packed.
struct TensorInfo {
  std::string name;
  ElementType type = ElementType::F32;
  std::vector<std::int64_t> shape = {};  ///< empty for a scalar
  std::uint64_t begin = 0;               ///< first byte, counted from the start of the file
  std::uint64_t end = 0;                 ///< one past the last byte

  std::uint64_t bytes() const { return end - begin; }
};

/// What a file may ask for before it is refused. The format itself stops at a header of 100,000,000 bytes.
struct SafetensorsLimits {
  std::uint64_t header = 16 << 20;  ///< bytes; while it is parsed, a hostile header takes up to 18 times as much memory
  std::size_t tensors = 1'000'000;
};

/// A safetensors file, open for reading. The constructor reads and checks the header; data is read when asked for.
///
/// Checks what the reference reader checks, and refuses more: repeated names, names that are empty, longer than 4,096
/// bytes or hold control characters, more than 32 dimensions, a dimension above 2^63 - 1. Every element type is read,
/// whether or not the program has a use for it. The format has no checksum: a flipped bit in the data cannot be seen.
/// Threads: read() may run on many at once.
class SafetensorsFile {
 public:
  /// Throws FileError if `path` cannot be read, FormatError naming file, tensor and rule if it is not a sound file.
  explicit SafetensorsFile(const std::filesystem::path& path, const SafetensorsLimits& limits = {});

  const std::filesystem::path& path() const { return file_.path(); }

  /// In the order of their data. Together they cover the file from the header to its end.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// nullptr if the file has no tensor of that name.
  const TensorInfo* find(std::string_view name) const;

  /// The strings under "__metadata__", such as "format": "pt".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// Fills `bytes`, which must be as long as the tensor of this file. Throws OptionError if it is not, FileError if the
  /// file was cut short since it was opened.
  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const;

 private:
  void parse_header(std::string_view header, const SafetensorsLimits& limits);
  void check_coverage(std::uint64_t data_begin) const;

  InputFile file_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::size_t> by_name_;  // positions in tensors_, sorted by name
  std::map<std::string, std::string> metadata_;
};

/// A tensor to write. `bytes` is row-major, little-endian, packed.
struct TensorBytes {
  std::string name;
  ElementType type = ElementType::F32;
  std::vector<std::int64_t> shape = {};
  std::span<const std::byte> bytes = {};
};

/// Writes a file, whole or not at all (see OutputFile), byte for byte as the reference writer would: tensors sorted by
/// element type and name, the header padded with spaces to a multiple of 8. With several entries in `metadata` the
/// reference's order is random; here it is alphabetical. An empty `metadata` is left out.
/// Throws OptionError, before anything is written, for a name that SafetensorsFile would refuse, "__metadata__", a name
/// given twice, text that is not UTF-8, or bytes that do not fit the shape; FileError where the system refuses.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorBytes> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// The same for tensors that are not all in memory. `tensors` gives names, types and shapes (begin and end are not
/// looked at). `bytes_of(i)` gives the content of tensors[i]; it is called once for each, in the order of the file, and
/// what it returns need only live until the next call. What it throws passes through, and nothing is written.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorInfo> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<std::span<const std::byte>(std::size_t)>& bytes_of);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/safetensors-inl.hpp"
#endif
