#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "graft/core/mode.hpp"

namespace graft {

/// How a GGUF file stores the numbers of a tensor, numbered as in the file. The Q types hold blocks of 32 or 256
/// numbers of one row: small integers, and scales that all or some of them share.
enum class GgufType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  BF16 = 30,
};

/// "Q4_K".
std::string_view gguf_type_name(GgufType type);

/// The type of that number, nothing for one that graft does not read.
std::optional<GgufType> find_gguf_type(std::uint32_t number);

/// How many numbers a block holds, 1 for F32, F16 and BF16; and its bytes.
std::size_t block_values(GgufType type);
std::size_t block_bytes(GgufType type);

/// The blocks as they lie in a file, little-endian. `scale` and `minimum` are IEEE half precision.
namespace blocks {

using Half = std::uint16_t;

/// scale * (4 bits - 8)
struct Q4_0 {
  static constexpr std::size_t values = 32;
  Half scale;
  std::uint8_t low[16];  ///< number i in the low half of byte i, number 16 + i in the high half
};

/// scale * 4 bits + minimum
struct Q4_1 {
  static constexpr std::size_t values = 32;
  Half scale, minimum;
  std::uint8_t low[16];
};

/// scale * (5 bits - 16)
struct Q5_0 {
  static constexpr std::size_t values = 32;
  Half scale;
  std::uint8_t high[4];  ///< the fifth bit of number i at bit i of the 32
  std::uint8_t low[16];
};

/// scale * 5 bits + minimum
struct Q5_1 {
  static constexpr std::size_t values = 32;
  Half scale, minimum;
  std::uint8_t high[4];
  std::uint8_t low[16];
};

/// scale * 8 bits
struct Q8_0 {
  static constexpr std::size_t values = 32;
  Half scale;
  std::int8_t number[32];
};

/// Groups of 32 with a scale and a minimum of 6 bits each:  scale * group_scale * 4 bits - minimum * group_minimum
struct Q4_K {
  static constexpr std::size_t values = 256;
  Half scale, minimum;
  std::uint8_t groups[12];  ///< see group_scales()
  std::uint8_t low[128];    ///< of 64 numbers after each other: 32 bytes, the first 32 in the low halves
};

/// The same with 5 bits.
struct Q5_K {
  static constexpr std::size_t values = 256;
  Half scale, minimum;
  std::uint8_t groups[12];
  std::uint8_t high[32];  ///< the fifth bit of number 32 g + i at bit g of byte i
  std::uint8_t low[128];
};

/// Groups of 16:  scale * group_scale * (6 bits - 32)
struct Q6_K {
  static constexpr std::size_t values = 256;
  std::uint8_t low[128];  ///< of 128 numbers after each other: 64 bytes, the first 64 numbers in the low halves
  std::uint8_t high[64];  ///< of 128 numbers after each other: 32 bytes, number 32 g + i at bits 2 g, 2 g + 1 of byte i
  std::int8_t groups[16];
  Half scale;
};

/// Of the eight groups of a Q4_K or Q5_K block.
struct GroupScales {
  std::uint8_t scale[8], minimum[8];
};
GroupScales group_scales(const std::uint8_t (&groups)[12]);

void decode(const Q4_0& block, std::span<float, 32> values);
void decode(const Q4_1& block, std::span<float, 32> values);
void decode(const Q5_0& block, std::span<float, 32> values);
void decode(const Q5_1& block, std::span<float, 32> values);
void decode(const Q8_0& block, std::span<float, 32> values);
void decode(const Q4_K& block, std::span<float, 256> values);
void decode(const Q5_K& block, std::span<float, 256> values);
void decode(const Q6_K& block, std::span<float, 256> values);

}  // namespace blocks

/// Half precision as single, exactly; and the upper half of a single, which is what BF16 holds.
float half_to_float(std::uint16_t half);
float bfloat16_to_float(std::uint16_t upper);

/// The numbers that `bytes`, whole blocks of `type`, stand for: those of ggml's own decoder and of Python's gguf, to
/// the last bit (where the compiler fuses products with sums, to the last but one).
/// `bytes` need not be aligned. Throws OptionError if the sizes do not fit each other.
void dequantise(GgufType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/quantised-inl.hpp"
#endif
