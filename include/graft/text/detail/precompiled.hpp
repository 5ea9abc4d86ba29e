#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/text/detail/rewrites.hpp"

namespace graft::detail {

/// The rules of a SentencePiece model ("nmt_nfkc" and its like), as its file holds them: a double array of strings and
/// what they become.
///
/// As the reference: a grapheme cluster of less than six bytes is looked up as a whole, of which the shortest beginning
/// that has a rule counts, else each of its characters.
/// Source of the array's format: Yata, darts-clone.
class Precompiled final : public Rewrite {
 public:
  /// `rules`: the size of the array in bytes, little-endian, the array, then texts that end in NUL.
  /// Throws FormatError for what is none.
  explicit Precompiled(std::string_view rules);

  /// Throws FormatError for a rule that leads out of the array or out of the texts.
  GRAFT_INLINE void apply(AlignedText& text) const override;

 private:
  std::optional<std::string_view> rule_for(std::string_view chunk) const;
  std::uint32_t unit(std::size_t place) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

/// The bytes that standard Base64 with padding stands for; nothing for what is none.
std::optional<std::string> base64_bytes(std::string_view text);

}  // namespace graft::detail

#ifndef GRAFT_COMPILED
#include "graft/text/detail/precompiled-inl.hpp"
#endif
