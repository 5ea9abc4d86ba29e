#pragma once

#include <array>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/tensor/dtype.hpp"

namespace graft {
namespace detail {

inline constexpr std::array<std::pair<ElementType, c10::ScalarType>, 19> scalar_types{{
    {ElementType::BOOL, c10::kBool},
    {ElementType::U8, c10::kByte},
    {ElementType::I8, c10::kChar},
    {ElementType::F8_E5M2, c10::kFloat8_e5m2},
    {ElementType::F8_E4M3, c10::kFloat8_e4m3fn},
    {ElementType::F8_E8M0, c10::kFloat8_e8m0fnu},
    {ElementType::F8_E4M3FNUZ, c10::kFloat8_e4m3fnuz},
    {ElementType::F8_E5M2FNUZ, c10::kFloat8_e5m2fnuz},
    {ElementType::I16, c10::kShort},
    {ElementType::U16, c10::kUInt16},
    {ElementType::F16, c10::kHalf},
    {ElementType::BF16, c10::kBFloat16},
    {ElementType::I32, c10::kInt},
    {ElementType::U32, c10::kUInt32},
    {ElementType::F32, c10::kFloat},
    {ElementType::C64, c10::kComplexFloat},
    {ElementType::F64, c10::kDouble},
    {ElementType::I64, c10::kLong},
    {ElementType::U64, c10::kUInt64},
}};

}  // namespace detail

GRAFT_INLINE std::optional<c10::ScalarType> find_scalar_type(ElementType type) {
  for (const auto& [stored, ours] : detail::scalar_types)
    if (stored == type) return ours;
  return std::nullopt;
}

GRAFT_INLINE ElementType element_type(c10::ScalarType type) {
  for (const auto& [stored, ours] : detail::scalar_types)
    if (ours == type) return stored;
  throw OptionError(
      message("a safetensors file cannot hold elements of type ", c10::toString(type), "; convert the tensor first"));
}

GRAFT_INLINE bool convertible(c10::ScalarType from, c10::ScalarType to) {
  if (from == to) return true;
  const bool ordinary = to == c10::kDouble || to == c10::kFloat || to == c10::kHalf || to == c10::kBFloat16;
  if (c10::isFloatingType(from)) return ordinary;
  const auto is_signed = [](c10::ScalarType type) {
    return type == c10::kChar || type == c10::kShort || type == c10::kInt || type == c10::kLong;
  };
  return is_signed(from) && is_signed(to) && c10::elementSize(from) < c10::elementSize(to);
}

}  // namespace graft
