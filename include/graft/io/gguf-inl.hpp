#pragma once

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "graft/core/checked.hpp"
#include "graft/core/error.hpp"
#include "graft/io/detail/gguf_cursor.hpp"
#include "graft/io/detail/tensor_checks.hpp"
#include "graft/io/gguf.hpp"
#include "graft/io/safetensors.hpp"

namespace graft {

namespace detail {

/// Magic number and version.
GRAFT_INLINE void check_gguf_start(GgufCursor& cursor, const InputFile& file) {
  const std::string& path = file.path().native();
  if (file.size() < 24) {
    throw FormatError(message(path, ": has ", file.size(), " bytes; a GGUF file has at least 24; copy the file again"));
  }
  const std::string magic(cursor.text(4, "the magic number"));
  if (magic == "vers") {
    throw FormatError(message(path,
                              ": is not a GGUF file but seems a Git LFS pointer to one; fetch it with git lfs "
                              "pull"));
  }
  if (magic != "GGUF") {
    throw FormatError(
        message(path, ": begins with ", quoted(magic), ", not with \"GGUF\"; it is another kind of file"));
  }
  const auto version = cursor.number<std::uint32_t>("the version");
  if (version == 2 || version == 3) return;
  const bool swapped = version == 0x02000000 || version == 0x03000000;
  throw FormatError(message(path, ": is GGUF ", swapped ? "of a big-endian machine" : message("version ", version),
                            "; graft reads versions 2 and 3, little-endian: convert the model again"));
}

inline constexpr std::size_t gguf_rank_limit = 4;

/// One entry of the list of tensors; `begin` is still counted from the start of the data.
GRAFT_INLINE GgufTensor parse_gguf_tensor(GgufCursor& cursor, const std::string& path) {
  GgufTensor tensor;
  const auto length = cursor.number<std::uint64_t>("a tensor's name");
  tensor.name = cursor.text(length, "a tensor's name");
  const std::string where = message(path, ": tensor ", quoted(tensor.name));
  if (const auto fault = tensor_name_fault(tensor.name); !fault.empty()) {
    throw FormatError(message(where, ": the name ", fault));
  }
  const auto rank = cursor.number<std::uint32_t>("a tensor's number of dimensions");
  if (rank > gguf_rank_limit) {
    throw FormatError(message(where, ": has ", rank, " dimensions, a GGUF tensor at most ", gguf_rank_limit));
  }
  std::uint64_t count = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    const auto size = cursor.number<std::uint64_t>("a tensor's shape");
    count = checked_mul(count, size, where + ": number of elements");
    tensor.shape.push_back(checked_cast<std::int64_t>(size, where + ": size"));
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  const auto type = cursor.number<std::uint32_t>("a tensor's type");
  const auto known = find_gguf_type(type);
  if (!known) {
    throw FormatError(message(where, ": is of type ", type,
                              ", which graft does not read; convert the model to F16, "
                              "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K"));
  }
  tensor.type = *known;
  const std::uint64_t values = block_values(tensor.type);
  const std::uint64_t row = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.back());
  if (row % values != 0) {
    throw FormatError(message(where, ": rows of ", row, " are no whole number of ", gguf_type_name(tensor.type),
                              " blocks, which hold ", values));
  }
  tensor.begin = cursor.number<std::uint64_t>("a tensor's offset");
  const std::uint64_t bytes = checked_mul(count / values, std::uint64_t{block_bytes(tensor.type)}, where + ": bytes");
  tensor.end = checked_add(tensor.begin, bytes, where + ": end");
  return tensor;
}

/// Tensors in the order of their data must begin where the one before ends, up to the alignment.
GRAFT_INLINE void check_gguf_coverage(const std::vector<GgufTensor>& tensors, std::uint64_t data_begin,
                                      std::uint64_t file_size, std::uint64_t alignment, const std::string& path) {
  std::uint64_t expected = data_begin;
  for (const GgufTensor& tensor : tensors) {
    const std::string where = message(path, ": tensor ", quoted(tensor.name));
    if (tensor.end > file_size) {
      throw FormatError(message(where, ": ends at byte ", tensor.end, ", the file at ", file_size,
                                "; it is cut short: copy it again"));
    }
    if (tensor.begin != expected) {
      throw FormatError(message(where, ": begins at byte ", tensor.begin, ", where ", expected,
                                " follows the tensor before; tensors must lie end to end, aligned to ", alignment));
    }
    expected = (tensor.end + alignment - 1) / alignment * alignment;
  }
}

}  // namespace detail

GRAFT_INLINE GgufFile::GgufFile(const std::filesystem::path& path, const GgufLimits& limits) : file_(path) {
  const std::string& where = metadata_.where_ = file_.path().native();
  detail::GgufCursor cursor(file_, limits.header);
  detail::check_gguf_start(cursor, file_);
  const auto tensors = cursor.number<std::uint64_t>("the number of tensors");
  const auto keys = cursor.number<std::uint64_t>("the number of keys");
  if (tensors > limits.tensors) {
    throw FormatError(message(where, ": claims ", tensors, " tensors, more than the limit of ", limits.tensors));
  }
  metadata_.parse(cursor, keys);
  for (std::uint64_t i = 0; i < tensors; ++i) {
    tensors_.push_back(detail::parse_gguf_tensor(cursor, where));
    if (!by_name_.emplace(tensors_.back().name, 0).second) {
      throw FormatError(message(where, ": tensor ", quoted(tensors_.back().name), " is there twice"));
    }
  }
  metadata_.header_ = cursor.take_bytes();
  const auto alignment = static_cast<std::uint64_t>(metadata_.integer("general.alignment", 8, 1 << 20, 32));
  if (!std::has_single_bit(alignment)) metadata_.fail("general.alignment", "a power of two from 8 to 1048576");
  const std::uint64_t data_begin = (cursor.position() + alignment - 1) / alignment * alignment;
  for (GgufTensor& tensor : tensors_) {
    tensor.begin = checked_add(tensor.begin, data_begin, where + ": tensor " + quoted(tensor.name) + ": begin");
    tensor.end = checked_add(tensor.end, data_begin, where + ": tensor " + quoted(tensor.name) + ": end");
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const GgufTensor& a, const GgufTensor& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  detail::check_gguf_coverage(tensors_, data_begin, file_.size(), alignment, where);
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.find(tensors_[i].name)->second = i;
}

GRAFT_INLINE const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

GRAFT_INLINE const GgufTensor& GgufFile::tensor(std::string_view name) const {
  if (const GgufTensor* found = find(name)) return *found;
  throw FormatError(message(path().native(), ": has no tensor ", quoted(name),
                            "; it is of another architecture, or "
                            "incomplete"));
}

GRAFT_INLINE void GgufFile::read(const GgufTensor& tensor, std::span<std::byte> bytes) const {
  if (bytes.size() != tensor.bytes()) {
    throw OptionError(message(path().native(), ": tensor ", quoted(tensor.name), " has ", tensor.bytes(),
                              " bytes, the memory to read it into ", bytes.size()));
  }
  file_.read_at(tensor.begin, bytes);
}

GRAFT_INLINE void GgufFile::read_float32(const GgufTensor& tensor, std::span<float> values) const {
  if (values.size() != tensor.values()) {
    throw OptionError(message(path().native(), ": tensor ", quoted(tensor.name), " has ", tensor.values(),
                              " numbers, the memory to read it into has room for ", values.size()));
  }
  constexpr std::size_t part_values = 1 << 18;  // a multiple of every block
  const std::size_t block = block_values(tensor.type);
  std::vector<std::byte> part;
  for (std::size_t done = 0; done < values.size(); done += part_values) {
    const std::size_t count = std::min(part_values, values.size() - done);
    part.resize(count / block * block_bytes(tensor.type));
    file_.read_at(tensor.begin + done / block * block_bytes(tensor.type), part);
    dequantise(tensor.type, part, values.subspan(done, count));
  }
}

}  // namespace graft
