#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// What a store writes down of a document's metadata.
struct StoredMetadata {
  std::vector<Attribute> attributes;
  std::string text;
};

inline StoredMetadata stored_metadata(std::string_view uri, const Json& metadata, std::int64_t modified) {
  return {attributes(uri, metadata, modified), metadata_text(metadata)};
}

/// Throws OptionError for a source that no store takes.
inline void check_source(std::string_view source) {
  if (source.size() > 4096)
    throw OptionError(
        message("the source ", quoted(source, 60), " has ", source.size(), " bytes; at most 4096 are kept"));
  check_text(message("the source ", quoted(source, 60)), source);
}

/// A directory as the sources of what lies in it begin, but for the slash.
inline std::string_view without_slashes(std::string_view place) {
  while (place.ends_with('/')) place.remove_suffix(1);
  return place;
}

/// Throws OptionError for a document that no store takes, or one above `limit` bytes.
inline StoredMetadata check_document(const Document& document, std::size_t limit) {
  if (document.uri.empty()) throw OptionError("a document has an empty uri; give it a name");
  if (document.uri.size() > 4096)
    throw OptionError(
        message("the uri ", quoted(document.uri, 60), " has ", document.uri.size(), " bytes; at most 4096 are kept"));
  check_text(message("the uri ", quoted(document.uri, 60)), document.uri);
  check_source(document.source);
  if (document.text.size() > limit)
    throw OptionError(message("document ", quoted(document.uri), " has ", document.text.size(), " bytes, the limit is ",
                              limit, "; split it, or raise the option \"document_bytes\""));
  check_text(message("document ", quoted(document.uri)), document.text);
  return stored_metadata(document.uri, document.metadata, document.modified);
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

/// All that Writer::put() refuses.
inline StoredMetadata check_document(const Document& document, std::span<const PassageRange> ranges,
                                     std::string_view cutting, std::size_t limit) {
  StoredMetadata metadata = check_document(document, limit);
  check_ranges(document, ranges);
  check_text("the name of a way of cutting", cutting);
  return metadata;
}

/// Throws OptionError for a note that no store takes.
inline void check_note(std::string_view name, std::string_view text) {
  if (name.empty() || name.size() > 4096)
    throw OptionError(message("the name of a note has ", name.size(), " bytes; choose one of 1 to 4096"));
  check_text(message("the name of the note ", quoted(name, 60)), name);
  if (text.size() > 1 << 20)
    throw OptionError(
        message("the note ", quoted(name, 60), " has ", text.size(), " bytes; at most ", 1 << 20, " are kept"));
  check_text(message("the note ", quoted(name, 60)), text);
}

/// Throws OptionError for a question that is not UTF-8.
inline void check_question(std::string_view question) {
  if (const std::size_t at = find_invalid_utf8(question); at != question.npos)
    throw OptionError(message("the question ", quoted(question), " is not UTF-8 at byte ", at));
}

/// Throws OptionError for a part of a text that ends before it begins.
inline void check_part(std::size_t begin, std::size_t end) {
  if (end < begin) throw OptionError(message("bytes ", begin, " to ", end, " of a text are asked for"));
}

}  // namespace graft::detail
