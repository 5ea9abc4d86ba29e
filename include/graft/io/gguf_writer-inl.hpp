#pragma once

#include <set>
#include <string_view>
#include <type_traits>

#include "graft/core/checked.hpp"
#include "graft/core/error.hpp"
#include "graft/core/output.hpp"
#include "graft/io/detail/tensor_checks.hpp"
#include "graft/io/gguf_writer.hpp"

namespace graft {
namespace detail {

/// Zeros behind `size` bytes, up to what aligns a file that names no alignment.
GRAFT_INLINE std::size_t gguf_padding(std::size_t size) { return (32 - size % 32) % 32; }

/// The header of a GGUF file, byte by byte.
class GgufHeader {
 public:
  template <class Number>
  void number(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(std::uint64_t{value.size()});
    bytes_ += value;
  }
  /// The number of the type, then the value.
  void value(const GgufMetadataValue& value) {
    constexpr std::uint32_t u32 = 4, f32 = 6, boolean = 7, string = 8, array = 9;
    std::visit(
        [&](const auto& held) {
          using Held = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<Held, bool>) {
            number(boolean), number(static_cast<std::uint8_t>(held));
          } else if constexpr (std::is_same_v<Held, std::string>) {
            number(string), text(held);
          } else if constexpr (std::is_same_v<Held, std::vector<std::string>>) {
            number(array), number(string), number(std::uint64_t{held.size()});
            for (const std::string& one : held) text(one);
          } else {
            number(std::is_same_v<Held, float> ? f32 : u32), number(held);
          }
        },
        value);
  }
  void align() { bytes_.append(gguf_padding(bytes_.size()), '\0'); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_ = "GGUF";
};

GRAFT_INLINE void check_gguf_tensor(const GgufTensorBytes& tensor) {
  const std::string where = message("tensor ", quoted(tensor.name));
  constexpr std::size_t longest = 63;  // GGML_MAX_NAME, with the zero behind it
  if (const auto fault = tensor_name_fault(tensor.name); !fault.empty())
    throw OptionError(message(where, ": the name ", fault));
  if (tensor.name.size() > longest)
    throw OptionError(message(where, ": the name has ", tensor.name.size(), " bytes, more than ", longest));
  if (tensor.shape.size() > 4)
    throw OptionError(message(where, ": has ", tensor.shape.size(), " dimensions, a GGUF tensor at most 4"));
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.shape) {
    if (size < 1) throw OptionError(message(where, ": has a size of ", size, "; choose 1 or more"));
    count = checked_mul(count, static_cast<std::uint64_t>(size), where + ": number of elements");
  }
  const std::uint64_t row = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.back());
  if (row % block_values(tensor.type) != 0)
    throw OptionError(message(where, ": rows of ", row, " are no whole number of ", gguf_type_name(tensor.type),
                              " blocks, which hold ", block_values(tensor.type)));
  const std::uint64_t bytes = count / block_values(tensor.type) * block_bytes(tensor.type);
  if (tensor.bytes.size() != bytes)
    throw OptionError(message(where, ": is given ", tensor.bytes.size(), " bytes, its shape asks for ", bytes));
}

GRAFT_INLINE void check_gguf_content(const std::map<std::string, GgufMetadataValue>& metadata,
                                     std::span<const GgufTensorBytes> tensors) {
  if (metadata.contains("")) throw OptionError("a key of a GGUF file's metadata is empty");
  if (metadata.contains("general.alignment"))
    throw OptionError("\"general.alignment\" is for the writer of a GGUF file to say; leave it out");
  std::set<std::string_view> names;
  for (const GgufTensorBytes& tensor : tensors) {
    check_gguf_tensor(tensor);
    if (!names.insert(tensor.name).second)
      throw OptionError(message("tensor ", quoted(tensor.name), " is there twice"));
  }
}

}  // namespace detail

GRAFT_INLINE void write_gguf(const std::filesystem::path& path,
                             const std::map<std::string, GgufMetadataValue>& metadata,
                             std::span<const GgufTensorBytes> tensors) {
  detail::check_gguf_content(metadata, tensors);
  detail::GgufHeader header;
  header.number(std::uint32_t{3});
  header.number(std::uint64_t{tensors.size()});
  header.number(std::uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    header.text(key);
    header.value(value);
  }
  std::uint64_t offset = 0;
  for (const GgufTensorBytes& tensor : tensors) {
    header.text(tensor.name);
    header.number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
      header.number(static_cast<std::uint64_t>(*size));
    header.number(static_cast<std::uint32_t>(tensor.type));
    header.number(offset);
    offset += tensor.bytes.size() + detail::gguf_padding(tensor.bytes.size());
  }
  header.align();
  OutputFile out(path);
  out.write(header.bytes());
  for (const GgufTensorBytes& tensor : tensors) {
    out.write(tensor.bytes);
    out.write(std::string(detail::gguf_padding(tensor.bytes.size()), '\0'));
  }
  out.commit();
}

}  // namespace graft
