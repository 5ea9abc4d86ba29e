#pragma once

#include <bit>
#include <cstring>

#include "graft/core/error.hpp"
#include "graft/io/quantised.hpp"

namespace graft {

namespace detail {

static_assert(std::endian::native == std::endian::little, "blocks are read as they lie in the file");
static_assert(sizeof(blocks::Q4_0) == 18 && sizeof(blocks::Q4_1) == 20 && sizeof(blocks::Q5_0) == 22);
static_assert(sizeof(blocks::Q5_1) == 24 && sizeof(blocks::Q8_0) == 34 && sizeof(blocks::Q4_K) == 144);
static_assert(sizeof(blocks::Q5_K) == 176 && sizeof(blocks::Q6_K) == 210);

template <class Block>
void decode_blocks(std::span<const std::byte> bytes, std::span<float> values) {
  for (std::size_t i = 0; i < values.size() / Block::values; ++i) {
    Block block;
    std::memcpy(&block, bytes.data() + i * sizeof block, sizeof block);
    decode(block, std::span<float, Block::values>(values.subspan(i * Block::values, Block::values)));
  }
}

template <class Number, float (*convert)(Number)>
void convert_each(std::span<const std::byte> bytes, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Number number;
    std::memcpy(&number, bytes.data() + i * sizeof number, sizeof number);
    values[i] = convert(number);
  }
}

GRAFT_INLINE float as_it_is(float number) { return number; }

struct GgufTypeEntry {
  GgufType type;
  std::string_view name;
  std::size_t values, bytes;
  void (*decode)(std::span<const std::byte>, std::span<float>);
};

inline constexpr GgufTypeEntry gguf_types[] = {
    {GgufType::F32, "F32", 1, 4, convert_each<float, as_it_is>},
    {GgufType::F16, "F16", 1, 2, convert_each<std::uint16_t, half_to_float>},
    {GgufType::Q4_0, "Q4_0", 32, sizeof(blocks::Q4_0), decode_blocks<blocks::Q4_0>},
    {GgufType::Q4_1, "Q4_1", 32, sizeof(blocks::Q4_1), decode_blocks<blocks::Q4_1>},
    {GgufType::Q5_0, "Q5_0", 32, sizeof(blocks::Q5_0), decode_blocks<blocks::Q5_0>},
    {GgufType::Q5_1, "Q5_1", 32, sizeof(blocks::Q5_1), decode_blocks<blocks::Q5_1>},
    {GgufType::Q8_0, "Q8_0", 32, sizeof(blocks::Q8_0), decode_blocks<blocks::Q8_0>},
    {GgufType::Q4_K, "Q4_K", 256, sizeof(blocks::Q4_K), decode_blocks<blocks::Q4_K>},
    {GgufType::Q5_K, "Q5_K", 256, sizeof(blocks::Q5_K), decode_blocks<blocks::Q5_K>},
    {GgufType::Q6_K, "Q6_K", 256, sizeof(blocks::Q6_K), decode_blocks<blocks::Q6_K>},
    {GgufType::BF16, "BF16", 1, 2, convert_each<std::uint16_t, bfloat16_to_float>},
};

GRAFT_INLINE const GgufTypeEntry& entry_of(GgufType type) {
  for (const GgufTypeEntry& entry : gguf_types) {
    if (entry.type == type) return entry;
  }
  throw OptionError(message("GGUF type ", static_cast<std::uint32_t>(type), " is none that graft reads"));
}

}  // namespace detail

GRAFT_INLINE std::string_view gguf_type_name(GgufType type) { return detail::entry_of(type).name; }
GRAFT_INLINE std::size_t block_values(GgufType type) { return detail::entry_of(type).values; }
GRAFT_INLINE std::size_t block_bytes(GgufType type) { return detail::entry_of(type).bytes; }

GRAFT_INLINE std::optional<GgufType> find_gguf_type(std::uint32_t number) {
  for (const detail::GgufTypeEntry& entry : detail::gguf_types) {
    if (static_cast<std::uint32_t>(entry.type) == number) return entry.type;
  }
  return std::nullopt;
}

GRAFT_INLINE float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  const std::uint32_t rest = half & 0x7FFFu;
  constexpr std::uint32_t infinity = 0x7C00;
  if (rest >= infinity) return std::bit_cast<float>(sign | 0x7F800000 | (rest & 0x3FF) << 13);
  // Placed as a single's exponent and fraction the number is 2^112 too small; a product puts that right, exactly, for
  // subnormal halves too.
  const float scaled = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

GRAFT_INLINE float bfloat16_to_float(std::uint16_t upper) { return std::bit_cast<float>(std::uint32_t{upper} << 16); }

namespace blocks {

GRAFT_INLINE void decode(const Q4_0& block, std::span<float, 32> values) {
  const float scale = half_to_float(block.scale);
  for (std::size_t i = 0; i < 16; ++i) {
    values[i] = scale * static_cast<float>((block.low[i] & 15) - 8);
    values[i + 16] = scale * static_cast<float>((block.low[i] >> 4) - 8);
  }
}

GRAFT_INLINE void decode(const Q4_1& block, std::span<float, 32> values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  for (std::size_t i = 0; i < 16; ++i) {
    values[i] = scale * static_cast<float>(block.low[i] & 15) + minimum;
    values[i + 16] = scale * static_cast<float>(block.low[i] >> 4) + minimum;
  }
}

GRAFT_INLINE void decode(const Q5_0& block, std::span<float, 32> values) {
  const float scale = half_to_float(block.scale);
  std::uint32_t high;
  std::memcpy(&high, block.high, sizeof high);
  for (std::size_t i = 0; i < 16; ++i) {
    const int first = (block.low[i] & 15) | static_cast<int>(high >> i << 4 & 16);
    const int second = (block.low[i] >> 4) | static_cast<int>(high >> (i + 16) << 4 & 16);
    values[i] = scale * static_cast<float>(first - 16);
    values[i + 16] = scale * static_cast<float>(second - 16);
  }
}

GRAFT_INLINE void decode(const Q5_1& block, std::span<float, 32> values) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  std::uint32_t high;
  std::memcpy(&high, block.high, sizeof high);
  for (std::size_t i = 0; i < 16; ++i) {
    const int first = (block.low[i] & 15) | static_cast<int>(high >> i << 4 & 16);
    const int second = (block.low[i] >> 4) | static_cast<int>(high >> (i + 16) << 4 & 16);
    values[i] = scale * static_cast<float>(first) + minimum;
    values[i + 16] = scale * static_cast<float>(second) + minimum;
  }
}

GRAFT_INLINE void decode(const Q8_0& block, std::span<float, 32> values) {
  const float scale = half_to_float(block.scale);
  for (std::size_t i = 0; i < 32; ++i) values[i] = scale * static_cast<float>(block.number[i]);
}

GRAFT_INLINE GroupScales group_scales(const std::uint8_t (&groups)[12]) {
  // Bytes 0-3: scales 0-3, bytes 4-7: minima 0-3, six bits each; their upper two bits and bytes 8-11 hold the rest.
  GroupScales out;
  for (std::size_t i = 0; i < 4; ++i) {
    out.scale[i] = groups[i] & 63;
    out.minimum[i] = groups[i + 4] & 63;
    out.scale[i + 4] = static_cast<std::uint8_t>((groups[i + 8] & 15) | groups[i] >> 6 << 4);
    out.minimum[i + 4] = static_cast<std::uint8_t>(groups[i + 8] >> 4 | groups[i + 4] >> 6 << 4);
  }
  return out;
}

/// Eight groups of 32 numbers, four bits of each in `low`; high(group, i) gives the bits above them.
template <class Block, class High>
void decode_groups(const Block& block, std::span<float, 256> values, const High& high) {
  const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
  const GroupScales groups = group_scales(block.groups);
  for (std::size_t group = 0; group < 8; ++group) {
    const float factor = scale * static_cast<float>(groups.scale[group]);
    const float less = minimum * static_cast<float>(groups.minimum[group]);
    const std::uint8_t* low = block.low + group / 2 * 32;
    const int shift = group % 2 * 4;
    float* out = values.data() + group * 32;
    for (std::size_t i = 0; i < 32; ++i) {
      out[i] = factor * static_cast<float>((low[i] >> shift & 15) | high(group, i)) - less;
    }
  }
}

GRAFT_INLINE void decode(const Q4_K& block, std::span<float, 256> values) {
  decode_groups(block, values, [](std::size_t, std::size_t) { return 0; });
}

GRAFT_INLINE void decode(const Q5_K& block, std::span<float, 256> values) {
  decode_groups(block, values, [&](std::size_t group, std::size_t i) { return (block.high[i] >> group & 1) << 4; });
}

GRAFT_INLINE void decode(const Q6_K& block, std::span<float, 256> values) {
  const float scale = half_to_float(block.scale);
  for (std::size_t quarter = 0; quarter < 8; ++quarter) {  // 32 numbers, two groups
    const std::size_t half = quarter / 4, part = quarter % 4;
    const std::uint8_t* low = block.low + half * 64 + part % 2 * 32;
    const std::uint8_t* high = block.high + half * 32;
    const int low_shift = part / 2 == 0 ? 0 : 4, high_shift = static_cast<int>(2 * part);
    for (std::size_t i = 0; i < 32; ++i) {
      const float factor = scale * static_cast<float>(block.groups[quarter * 2 + i / 16]);
      const int number = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
      values[quarter * 32 + i] = factor * static_cast<float>(number - 32);
    }
  }
}

}  // namespace blocks

GRAFT_INLINE void dequantise(GgufType type, std::span<const std::byte> bytes, std::span<float> values) {
  const detail::GgufTypeEntry& entry = detail::entry_of(type);
  if (values.size() % entry.values != 0 || bytes.size() != values.size() / entry.values * entry.bytes) {
    throw OptionError(message(bytes.size(), " bytes for ", values.size(), " numbers of ", entry.name, ", of which ",
                              entry.values, " take ", entry.bytes, " bytes"));
  }
  entry.decode(bytes, values);
}

}  // namespace graft
