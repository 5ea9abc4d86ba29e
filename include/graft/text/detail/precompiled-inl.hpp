#pragma once

#include <algorithm>
#include <cstring>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/text/detail/precompiled.hpp"

namespace graft::detail {

GRAFT_INLINE Precompiled::Precompiled(std::string_view rules) {
  std::uint32_t bytes = 0;
  if (rules.size() >= sizeof bytes) std::memcpy(&bytes, rules.data(), sizeof bytes);
  if (bytes == 0 || bytes % 4 != 0 || bytes > rules.size() - sizeof bytes) {
    throw FormatError(message("rules of ", rules.size(), " bytes with an array of ", bytes,
                              "; the array has four or a multiple, all of them there"));
  }
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), rules.data() + sizeof bytes, bytes);
  texts_ = rules.substr(sizeof bytes + bytes);
  if (!is_utf8(texts_)) throw FormatError("the texts of the rules are not UTF-8");
}

GRAFT_INLINE std::uint32_t Precompiled::unit(std::size_t place) const {
  if (place < units_.size()) return units_[place];
  throw FormatError("the rules of the tokenizer's normalizer lead out of their array; fetch the file again");
}

GRAFT_INLINE std::optional<std::string_view> Precompiled::rule_for(std::string_view chunk) const {
  const auto offset = [](std::uint32_t u) -> std::size_t { return std::size_t{u >> 10} << ((u & 1u << 9) >> 6); };
  std::size_t node = offset(unit(0));
  for (const char c : chunk) {
    const std::uint32_t byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || (units_[node] & (1u << 31 | 0xFF)) != byte) return std::nullopt;
    const bool ends = units_[node] >> 8 & 1;
    node ^= offset(units_[node]);
    if (!ends) continue;
    const std::uint32_t begin = unit(node) & ~(1u << 31);
    const std::size_t end = begin < texts_.size() ? std::min(texts_.find('\0', begin), texts_.size()) : begin;
    constexpr std::size_t longest = 64;  // the longest rule of NFKC gives 33
    if (begin > texts_.size() || end - begin > longest || !is_character_border(texts_, begin)) {
      throw FormatError(
          "a rule of the tokenizer's normalizer leads to no text of at most 64 bytes; fetch the file again");
    }
    return std::string_view(texts_).substr(begin, end - begin);
  }
  return std::nullopt;
}

/// Where the grapheme cluster that begins at `at` ends; exact for one of less than six bytes.
GRAFT_INLINE std::size_t cluster_end(std::string_view text, std::size_t at) {
  Utf8Step step = decode_valid_utf8(text.data() + at);
  ClusterRole role = CodePointTable::cluster_role(step.code_point);
  at += step.length;
  if (step.code_point == '\r' && at < text.size() && text[at] == '\n') return at + 1;
  if (role == ClusterRole::unjoined) return at;
  for (; at < text.size(); at += step.length) {
    step = decode_valid_utf8(text.data() + at);
    const ClusterRole next = CodePointTable::cluster_role(step.code_point);
    const bool joins =
        next == ClusterRole::extending || (role == ClusterRole::prepended && next != ClusterRole::unjoined);
    if (!joins) break;
    role = next;
  }
  return at;
}

GRAFT_INLINE void Precompiled::apply(AlignedText& text) const {
  // As the reference changes a text: a character takes the next one's place, is added, or takes the place of several.
  struct Change {
    char32_t c;
    std::ptrdiff_t change;
  };
  std::vector<Change> changes;
  changes.reserve(text.bytes.size());
  const std::string_view bytes = text.bytes;
  const auto characters = [](std::string_view part) {
    return std::count_if(part.begin(), part.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  };
  const auto replace = [&](std::string_view part, std::string_view by) {
    for (std::size_t at = 0; at < by.size();) {
      const Utf8Step step = decode_valid_utf8(by.data() + at);
      changes.push_back({step.code_point, 0});
      at += step.length;
    }
    constexpr std::size_t most = 1 << 28;
    if (changes.size() > most) {
      throw OptionError(
          message("a text of ", bytes.size(), " bytes becomes more than ", most, " characters; encode less at once"));
    }
    const std::ptrdiff_t more = characters(by) - characters(part);
    for (std::ptrdiff_t i = 0; i < more; ++i) changes[changes.size() - 1 - static_cast<std::size_t>(i)].change = 1;
    if (more < 0 && !changes.empty()) changes.back().change += more;
  };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = cluster_end(bytes, at);
    if (end - at < 6) {
      if (const auto rule = rule_for(bytes.substr(at, end - at))) {
        replace(bytes.substr(at, end - at), *rule);
        at = end;
        continue;
      }
    }
    while (at < end) {
      const Utf8Step step = decode_valid_utf8(bytes.data() + at);
      if (const auto rule = rule_for(bytes.substr(at, step.length))) {
        replace(bytes.substr(at, step.length), *rule);
      } else {
        changes.push_back({step.code_point, 0});
      }
      at += step.length;
    }
  }
  AlignedText out;
  out.begin = text.begin;
  std::size_t at = 0;  // in the old text
  const auto pass = [&] {
    if (at < bytes.size()) at += decode_valid_utf8(bytes.data() + at).length;
  };
  for (const Change& change : changes) {
    const bool added = change.change > 0 || at >= bytes.size();
    out.append(change.c, added ? text.origin_before(at) : text.origin[at]);
    for (std::ptrdiff_t i = change.change; i <= 0; ++i) pass();
  }
  text = std::move(out);
}

GRAFT_INLINE std::optional<std::string> base64_bytes(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  std::size_t padding = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    padding += text[i] == '=';
    const std::size_t digit = text[i] == '=' ? 0 : digits.find(text[i]);
    if (digit == digits.npos || (padding > 0 && (text[i] != '=' || i + 2 < text.size()))) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) out.push_back(static_cast<char>(bits >> shift & 0xFF));
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace graft::detail
