#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/checked.hpp"
#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/io/detail/tensor_checks.hpp"
#include "graft/io/safetensors.hpp"

namespace graft {

namespace detail {

struct ElementTypeEntry {
  std::string_view name;
  int bits;
};

/// In the order of ElementType.
inline constexpr std::array<ElementTypeEntry, 22> element_types = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;  // of the format
inline constexpr std::size_t safetensors_rank_limit = 32;
inline constexpr std::size_t safetensors_name_limit = 4096;

GRAFT_INLINE std::string_view tensor_name_fault(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > safetensors_name_limit) return "is longer than 4096 bytes";
  if (std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return "holds a control character";
  }
  return {};
}

/// Bytes of a tensor. FormatError that names `where` if they are no whole number or more than 64 bits hold.
GRAFT_INLINE std::uint64_t tensor_bytes(ElementType type, const std::vector<std::int64_t>& shape,
                                        const std::string& where) {
  std::uint64_t bits = 1;
  for (const std::int64_t size : shape) {
    bits = checked_mul(bits, static_cast<std::uint64_t>(size), where + ": number of elements");
  }
  bits = checked_mul(bits, static_cast<std::uint64_t>(element_bits(type)), where + ": number of bits");
  if (bits % 8 != 0) {
    throw FormatError(
        message(where, ": ", bits, " bits of ", element_type_name(type), " fill no whole number of bytes"));
  }
  return bits / 8;
}

GRAFT_INLINE std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += message(text.size() > 1 ? ", " : "", size);
  return text + "]";
}

/// The length of the header, from the first 8 bytes of the file.
GRAFT_INLINE std::uint64_t header_length(const InputFile& file, const SafetensorsLimits& limits) {
  const std::string& path = file.path().native();
  if (file.size() < 8) {
    throw FormatError(
        message(path, ": has ", file.size(), " bytes; a safetensors file has at least 8; copy the file again"));
  }
  std::array<unsigned char, 8> prefix;
  file.read_at(0, std::as_writable_bytes(std::span(prefix)));
  if (std::string_view(reinterpret_cast<const char*>(prefix.data()), 8) == "version ") {
    throw FormatError(
        message(path, ": is not a safetensors file but seems a Git LFS pointer to one; fetch it with git lfs pull"));
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[static_cast<std::size_t>(i)];
  if (length > file.size() - 8) {
    throw FormatError(message(path, ", byte 0: header claims ", length, " bytes, file has ", file.size(),
                              "; it is cut short or no safetensors file"));
  }
  const std::uint64_t limit = std::min(limits.header, safetensors_header_limit);
  if (length > limit) {
    throw FormatError(message(path, ", byte 0: header claims ", length, " bytes, more than the limit of ", limit));
  }
  return length;
}

/// One entry of the header; its data begins at byte `data_begin` of the file, which has `file_size` bytes.
GRAFT_INLINE TensorInfo parse_tensor(const std::string& name, const Json& entry, const std::string& path,
                                     std::uint64_t data_begin, std::uint64_t file_size) {
  const std::string where = message(path, ": tensor ", quoted(name));
  if (const auto fault = tensor_name_fault(name); !fault.empty())
    throw FormatError(message(where, ": the name ", fault));
  const JsonFields fields(entry, where);
  TensorInfo tensor{.name = name};
  const std::string type = fields.text("dtype");
  const auto found = find_element_type(type);
  if (!found) fields.fail("dtype", "an element type such as \"F32\"");
  tensor.type = *found;
  const Json& shape = fields.value("shape");
  if (!shape.is_array()) fields.fail("shape", "an array of sizes");
  if (shape.size() > safetensors_rank_limit) fields.fail("shape", "an array of at most 32 sizes");
  for (const Json& size : shape) {
    if (!size.is_number_unsigned() || !std::in_range<std::int64_t>(size.get<std::uint64_t>())) {
      throw FormatError(
          message(where, ": \"shape\" holds ", described(size), ", but sizes are integers from 0 to ", INT64_MAX));
    }
    tensor.shape.push_back(size.get<std::int64_t>());
  }
  const Json& offsets = fields.value("data_offsets");
  const bool two =
      offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned();
  if (!two) fields.fail("data_offsets", "two integers, begin and end");
  const auto begin = offsets[0].get<std::uint64_t>();
  const auto end = offsets[1].get<std::uint64_t>();
  if (begin > end) throw FormatError(message(where, ": begins at byte ", begin, " of the data and ends at ", end));
  if (end > file_size - data_begin) {
    throw FormatError(message(where, ": ends at byte ", end, " of the data, but the file has only ",
                              file_size - data_begin, "; copy the file again"));
  }
  const std::uint64_t needed = tensor_bytes(tensor.type, tensor.shape, where);
  if (end - begin != needed) {
    throw FormatError(
        message(where, ": ", type, " ", shape_text(tensor.shape), " needs ", needed, " bytes, has ", end - begin));
  }
  tensor.begin = data_begin + begin;
  tensor.end = data_begin + end;
  return tensor;
}

/// `text` as a JSON string. OptionError if it is not UTF-8.
GRAFT_INLINE std::string json_string(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    throw OptionError(message(quoted(text), " is not UTF-8"));
  }
}

GRAFT_INLINE std::uint64_t writable_bytes(const TensorInfo& tensor) {
  const std::string where = message("tensor ", quoted(tensor.name));
  if (const auto fault = tensor_name_fault(tensor.name); !fault.empty()) {
    throw OptionError(message(where, ": the name ", fault));
  }
  if (tensor.name == "__metadata__") throw OptionError(message(where, ": the format keeps this name for itself"));
  const bool negative =
      std::any_of(tensor.shape.begin(), tensor.shape.end(), [](std::int64_t size) { return size < 0; });
  if (negative || tensor.shape.size() > safetensors_rank_limit) {
    throw OptionError(message(where, ": shape ", shape_text(tensor.shape), " is not up to 32 sizes of 0 or more"));
  }
  try {
    return tensor_bytes(tensor.type, tensor.shape, where);
  } catch (const FormatError&) {
    throw OptionError(message(where, ": ", element_type_name(tensor.type), " ", shape_text(tensor.shape),
                              " fills no whole number of bytes that 64 bits can count"));
  }
}

GRAFT_INLINE void check_size(const TensorInfo& tensor, std::size_t size) {
  const std::uint64_t needed = writable_bytes(tensor);
  if (size == needed) return;
  throw OptionError(message("tensor ", quoted(tensor.name), ": ", element_type_name(tensor.type), " ",
                            shape_text(tensor.shape), " needs ", needed, " bytes, ", size, " are given"));
}

GRAFT_INLINE void check_names_differ(std::span<const TensorInfo> tensors) {
  std::vector<std::string_view> names;
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw OptionError(message("tensor ", quoted(*twice), " is given twice"));
}

/// By element type, the widest first, then by name: every tensor is aligned to its element.
GRAFT_INLINE std::vector<std::size_t> writing_order(std::span<const TensorInfo> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(tensors[b].type, tensors[a].name) < std::tie(tensors[a].type, tensors[b].name);
  });
  return order;
}

GRAFT_INLINE std::string header_text(std::span<const TensorInfo> tensors, const std::vector<std::size_t>& order,
                                     const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) {
    std::string strings;
    for (const auto& [key, value] : metadata) {
      strings += message(strings.empty() ? "" : ",", json_string(key), ":", json_string(value));
    }
    header += "\"__metadata__\":{" + strings + "}";
  }
  std::uint64_t end = 0;
  for (const std::size_t i : order) {
    const TensorInfo& tensor = tensors[i];
    const std::uint64_t begin = end;
    end = checked_add(end, writable_bytes(tensor), "bytes of the file");
    header += message(header.size() == 1 ? "" : ",", json_string(tensor.name), ":{\"dtype\":\"",
                      element_type_name(tensor.type), "\",\"shape\":", Json(tensor.shape).dump(), ",\"data_offsets\":[",
                      begin, ",", end, "]}");
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > safetensors_header_limit) {
    throw OptionError(
        message("the header would have ", header.size(), " bytes, the format stops at ", safetensors_header_limit));
  }
  return header;
}

}  // namespace detail

GRAFT_INLINE std::string_view element_type_name(ElementType type) {
  return detail::element_types[static_cast<std::size_t>(type)].name;
}

GRAFT_INLINE int element_bits(ElementType type) { return detail::element_types[static_cast<std::size_t>(type)].bits; }

GRAFT_INLINE std::optional<ElementType> find_element_type(std::string_view name) {
  for (std::size_t i = 0; i < detail::element_types.size(); ++i) {
    if (detail::element_types[i].name == name) return static_cast<ElementType>(i);
  }
  return std::nullopt;
}

GRAFT_INLINE SafetensorsFile::SafetensorsFile(const std::filesystem::path& path, const SafetensorsLimits& limits)
    : file_(path) {
  std::string header(static_cast<std::size_t>(detail::header_length(file_, limits)), '\0');
  file_.read_at(8, std::as_writable_bytes(std::span(header)));
  parse_header(header, limits);
  check_coverage(8 + header.size());
}

GRAFT_INLINE void SafetensorsFile::parse_header(std::string_view header, const SafetensorsLimits& limits) {
  const std::string& path = file_.path().native();
  const Json json = parse_json(header, path + ", header", {.depth = 8, .bytes = header.size()});
  const JsonFields fields(json, path + ", header");
  if (json.size() > limits.tensors) {
    throw FormatError(message(path, ": holds ", json.size(), " tensors, more than the limit of ", limits.tensors));
  }
  if (fields.has("__metadata__")) {
    const JsonFields metadata = fields.object("__metadata__");
    for (const auto& [key, value] : metadata.json().items()) metadata_.emplace(key, metadata.text(key));
  }
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") continue;
    tensors_.push_back(detail::parse_tensor(name, entry, path, 8 + header.size(), file_.size()));
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0);
  std::sort(by_name_.begin(), by_name_.end(),
            [this](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
}

/// Without a hole, an overlap or a tail nothing can hide in the file.
GRAFT_INLINE void SafetensorsFile::check_coverage(std::uint64_t data_begin) const {
  std::uint64_t covered = data_begin;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.begin != covered) {
      throw FormatError(message(path().native(), ": tensor ", quoted(tensor.name), ": begins at byte ", tensor.begin,
                                " of the file, where ", covered,
                                " follows the tensor before; tensors must lie end to end"));
    }
    covered = tensor.end;
  }
  if (covered != file_.size()) {
    throw FormatError(message(path().native(), ": the tensors end at byte ", covered, ", the file at ", file_.size(),
                              "; what lies between belongs to no tensor"));
  }
}

GRAFT_INLINE const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto place = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                      [this](std::size_t i, std::string_view n) { return tensors_[i].name < n; });
  return place != by_name_.end() && tensors_[*place].name == name ? &tensors_[*place] : nullptr;
}

GRAFT_INLINE void SafetensorsFile::read(const TensorInfo& tensor, std::span<std::byte> bytes) const {
  if (bytes.size() != tensor.bytes()) {
    throw OptionError(message(path().native(), ": tensor ", quoted(tensor.name), " has ", tensor.bytes(),
                              " bytes, the memory to read it into ", bytes.size()));
  }
  file_.read_at(tensor.begin, bytes);
}

GRAFT_INLINE void write_safetensors(const std::filesystem::path& path, std::span<const TensorInfo> tensors,
                                    const std::map<std::string, std::string>& metadata,
                                    const std::function<std::span<const std::byte>(std::size_t)>& bytes_of) {
  detail::check_names_differ(tensors);
  const std::vector<std::size_t> order = detail::writing_order(tensors);
  const std::string header = detail::header_text(tensors, order, metadata);
  std::array<unsigned char, 8> prefix;
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<unsigned char>(header.size() >> (8 * i));
  OutputFile file(path);
  file.write(std::as_bytes(std::span(prefix)));
  file.write(header);
  for (const std::size_t i : order) {
    const std::span<const std::byte> bytes = bytes_of(i);
    detail::check_size(tensors[i], bytes.size());
    file.write(bytes);
  }
  file.commit();
}

GRAFT_INLINE void write_safetensors(const std::filesystem::path& path, std::span<const TensorBytes> tensors,
                                    const std::map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> infos;
  for (const TensorBytes& tensor : tensors) {
    infos.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
    detail::check_size(infos.back(), tensor.bytes.size());
  }
  write_safetensors(path, infos, metadata, [&](std::size_t i) { return tensors[i].bytes; });
}

}  // namespace graft
