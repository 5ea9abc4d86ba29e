#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/utf8.hpp"
#include "graft/retrieval/detail/metadata.hpp"
#include "graft/retrieval/document.hpp"

namespace graft::detail {

inline void check_text(std::string_view what, std::string_view text) {
  if (const std::size_t at = find_invalid_utf8(text); at != text.npos)
    throw OptionError(message(what, " is not UTF-8 at byte ", at, "; convert it first"));
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)
    throw OptionError(message(what, " holds a NUL at byte ", at, "; it seems to be no text"));
}

/// As JSON. Throws OptionError for more than a document may have.
inline std::string metadata_text(const Json& metadata) {
  std::string out = metadata.dump();
  if (out.size() > kMetadataBytes)
    throw OptionError(message("metadata has ", out.size(), " bytes as JSON; a document may have ", kMetadataBytes));
  return out;
}

/// Throws OptionError for a document that no store takes, or one above `limit` bytes.
inline void check_document(const Document& document, std::size_t limit) {
  if (document.uri.empty()) throw OptionError("a document has an empty uri; give it a name");
  if (document.uri.size() > 4096)
    throw OptionError(
        message("the uri ", quoted(document.uri, 60), " has ", document.uri.size(), " bytes; at most 4096 are kept"));
  check_text(message("the uri ", quoted(document.uri, 60)), document.uri);
  if (document.text.size() > limit)
    throw OptionError(message("document ", quoted(document.uri), " has ", document.text.size(), " bytes, the limit is ",
                              limit, "; split it, or raise the option \"document_bytes\""));
  check_text(message("document ", quoted(document.uri)), document.text);
  attributes(document.uri, document.metadata, document.modified);
  metadata_text(document.metadata);
}

/// Throws OptionError for a passage that does not lie in the text, or cuts a character.
inline void check_ranges(const Document& document, std::span<const PassageRange> ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const PassageRange& range = ranges[i];
    const bool inside = range.begin < range.end && range.end <= document.text.size();
    if (!inside || !is_character_border(document.text, range.begin) || !is_character_border(document.text, range.end))
      throw OptionError(message("document ", quoted(document.uri), ", passage ", i, ": bytes ", range.begin, " to ",
                                range.end, " are not whole characters of a text of ", document.text.size(), " bytes"));
    check_text(message("document ", quoted(document.uri), ", heading of passage ", i), range.heading);
  }
}

}  // namespace graft::detail
