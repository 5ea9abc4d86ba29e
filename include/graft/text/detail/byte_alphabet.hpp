#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "graft/text/unicode.hpp"

namespace graft::detail {

/// GPT-2's way to spell bytes as printable characters: those of Latin-1 stand for themselves, the other 68 for U+0100
/// and what follows, in order.
class ByteAlphabet {
 public:
  static const ByteAlphabet& instance() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }

  char32_t character(std::uint8_t byte) const { return characters_[byte]; }

  /// The bytes that `spelled`, valid UTF-8, stands for; nothing if it holds a character of no byte.
  std::optional<std::string> bytes(std::string_view spelled) const {
    std::string out;
    for (std::size_t at = 0; at < spelled.size();) {
      const Utf8Step step = decode_utf8(spelled, at);
      const std::int32_t byte = step.valid && step.code_point < bytes_.size() ? bytes_[step.code_point] : -1;
      if (byte < 0) return std::nullopt;
      out.push_back(static_cast<char>(byte));
      at += step.length;
    }
    return out;
  }

  std::string spelled(std::string_view bytes) const {
    std::string out;
    for (const char byte : bytes) append_utf8(out, character(static_cast<std::uint8_t>(byte)));
    return out;
  }

 private:
  ByteAlphabet() {
    bytes_.fill(-1);
    char32_t next = 0x100;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
      characters_[byte] = printable ? byte : next++;
      bytes_[characters_[byte]] = static_cast<std::int32_t>(byte);
    }
  }

  std::array<char32_t, 256> characters_{};
  std::array<std::int32_t, 0x144> bytes_{};
};

}  // namespace graft::detail
