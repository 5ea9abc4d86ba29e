#pragma once

#include "graft/core/utf8.hpp"

namespace graft {

GRAFT_INLINE Utf8Step decode_utf8(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0;
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  constexpr char32_t replacement = 0xFFFD;
  const int length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
  if (length == 1) return {replacement, 1, false};
  // The second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF.
  const std::uint32_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const std::uint32_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < lowest || byte(1) > highest) return {replacement, 1, false};
  char32_t code_point = (lead & (0x7F >> length)) << 6 | (byte(1) & 0x3F);
  for (int i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {replacement, static_cast<std::uint8_t>(i), false};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {code_point, static_cast<std::uint8_t>(length), true};
}

GRAFT_INLINE std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t position = ascii_length(text); position < text.size();) {
    const Utf8Step step = decode_utf8(text, position);
    if (!step.valid) return position;
    position += step.length;
    if (position < text.size() && static_cast<unsigned char>(text[position]) < 0x80) {
      position += ascii_length(text, position);
    }
  }
  return std::string_view::npos;
}

}  // namespace graft
