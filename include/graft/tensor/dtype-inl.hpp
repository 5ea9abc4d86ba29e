#pragma once

#include "graft/tensor/dtype.hpp"

namespace graft {

GRAFT_INLINE std::optional<torch::ScalarType> find_scalar_type(ElementType type) {
  switch (type) {
    case ElementType::BOOL:
      return torch::kBool;
    case ElementType::U8:
      return torch::kUInt8;
    case ElementType::I8:
      return torch::kInt8;
    case ElementType::F8_E5M2:
      return torch::kFloat8_e5m2;
    case ElementType::F8_E4M3:
      return torch::kFloat8_e4m3fn;
    case ElementType::F8_E8M0:
      return torch::kFloat8_e8m0fnu;
    case ElementType::F8_E4M3FNUZ:
      return torch::kFloat8_e4m3fnuz;
    case ElementType::F8_E5M2FNUZ:
      return torch::kFloat8_e5m2fnuz;
    case ElementType::I16:
      return torch::kInt16;
    case ElementType::U16:
      return torch::kUInt16;
    case ElementType::F16:
      return torch::kFloat16;
    case ElementType::BF16:
      return torch::kBFloat16;
    case ElementType::I32:
      return torch::kInt32;
    case ElementType::U32:
      return torch::kUInt32;
    case ElementType::F32:
      return torch::kFloat32;
    case ElementType::C64:
      return torch::kComplexFloat;
    case ElementType::F64:
      return torch::kFloat64;
    case ElementType::I64:
      return torch::kInt64;
    case ElementType::U64:
      return torch::kUInt64;
    case ElementType::F4:
    case ElementType::F6_E2M3:
    case ElementType::F6_E3M2:
      break;
  }
  return std::nullopt;
}

GRAFT_INLINE ElementType element_type(torch::ScalarType type) {
  for (int i = 0; i <= static_cast<int>(ElementType::U64); ++i) {
    const auto candidate = static_cast<ElementType>(i);
    if (find_scalar_type(candidate) == type) return candidate;
  }
  throw OptionError(
      message("a safetensors file cannot hold elements of type ", c10::toString(type), "; convert the tensor first"));
}

GRAFT_INLINE bool convertible(torch::ScalarType from, torch::ScalarType to) {
  if (from == to) return true;
  const bool ordinary =
      to == torch::kFloat64 || to == torch::kFloat32 || to == torch::kFloat16 || to == torch::kBFloat16;
  if (c10::isFloatingType(from)) return ordinary;
  const auto is_signed = [](torch::ScalarType type) {
    return type == torch::kInt8 || type == torch::kInt16 || type == torch::kInt32 || type == torch::kInt64;
  };
  return is_signed(from) && is_signed(to) && c10::elementSize(from) < c10::elementSize(to);
}

}  // namespace graft
