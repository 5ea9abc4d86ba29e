#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The parts of a GGUF file, for tests that write sound and broken ones.
namespace gguf_bytes {

template <class Number>
std::string bytes_of(Number value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
inline std::string u32(std::uint32_t value) { return bytes_of(value); }
inline std::string u64(std::uint64_t value) { return bytes_of(value); }
inline std::string text(std::string_view value) { return u64(value.size()).append(value); }

/// A key with a value of that type, whose bytes are `value`.
inline std::string key(std::string_view name, std::uint32_t type, std::string_view value) {
  return text(name) + u32(type).append(value);
}

/// An entry of the list of tensors; `shape` in the file's order, the fastest first.
inline std::string entry(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                         std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(shape.size()));
  for (const std::uint64_t size : shape) out += u64(size);
  return out + u32(type) + u64(offset);
}

inline std::string start(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
  return "GGUF" + u32(version) + u64(tensors) + u64(keys);
}

/// A file of those keys and tensors, with `data` bytes behind the header.
inline std::string file_of(const std::vector<std::string>& keys, const std::vector<std::string>& tensors,
                           std::size_t data = 0, std::size_t alignment = 32) {
  std::string out = start(tensors.size(), keys.size());
  for (const std::string& part : keys) out += part;
  for (const std::string& part : tensors) out += part;
  if (data > 0) out.resize((out.size() + alignment - 1) / alignment * alignment + data, '\1');
  return out;
}

/// A key with a string, an array of strings, an array of 32-bit integers or floats, a boolean.
inline std::string string_key(std::string_view name, std::string_view value) { return key(name, 8, text(value)); }
inline std::string strings_key(std::string_view name, const std::vector<std::string>& values) {
  std::string out = u32(8) + u64(values.size());
  for (const std::string& value : values) out += text(value);
  return key(name, 9, out);
}
inline std::string integers_key(std::string_view name, const std::vector<std::int32_t>& values) {
  std::string out = u32(5) + u64(values.size());
  for (const std::int32_t value : values) out += bytes_of(value);
  return key(name, 9, out);
}
inline std::string floats_key(std::string_view name, const std::vector<float>& values) {
  std::string out = u32(6) + u64(values.size());
  for (const float value : values) out += bytes_of(value);
  return key(name, 9, out);
}
inline std::string integer_key(std::string_view name, std::uint32_t value) { return key(name, 4, u32(value)); }
inline std::string boolean_key(std::string_view name, bool value) { return key(name, 7, std::string(1, value)); }

}  // namespace gguf_bytes
