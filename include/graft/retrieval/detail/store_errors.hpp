#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "graft/retrieval/index.hpp"

namespace graft::detail {

/// A space as a store has it written down. Throws FormatError for one that cannot be.
inline VectorSpace stored_space(std::string_view store, std::string model, std::int64_t width,
                                const std::string& metric) {
  const auto known = metric_by_name(metric);
  if (!known || width < 1 || width > 65536)
    throw FormatError(message(store, ": vectors of model ", quoted(model), " are said to be ", width, " wide by ",
                              quoted(metric), "; the store is damaged"));
  return {std::move(model), width, *known};
}

/// Throws OptionError if the model of `asked` has vectors of another width or metric in the store.
inline void check_same_space(std::string_view store, const VectorSpace& stored, const VectorSpace& asked) {
  if (stored != asked)
    throw OptionError(message(store, ": vectors of model ", quoted(asked.model), " are ", stored.width,
                              " wide and compared by ", metric_name(stored.metric), ", not ", asked.width, " wide by ",
                              metric_name(asked.metric)));
}

[[noreturn]] inline void no_space(std::string_view store, const VectorSpace& space) {
  throw OptionError(message(store, ": holds no vectors of model ", quoted(space.model),
                            " yet; call add_space() first, or check that this is the model the store was made with"));
}
[[noreturn]] inline void no_document(std::string_view store, DocumentId id) {
  throw OptionError(message(store, ": there is no document ", id));
}
[[noreturn]] inline void no_document(std::string_view store, std::string_view uri) {
  throw OptionError(message(store, ": there is no document ", quoted(uri)));
}
[[noreturn]] inline void no_passage(std::string_view store, PassageId id) {
  throw OptionError(message(store, ": there is no passage ", id));
}
[[noreturn]] inline void no_vector(std::string_view store, PassageId id, const VectorSpace& space) {
  throw OptionError(message(store, ": passage ", id, " has no vector of model ", quoted(space.model)));
}
[[noreturn]] inline void vector_there(std::string_view store, PassageId id) {
  throw OptionError(message(store, ": passage ", id, " has a vector of this model already"));
}
[[noreturn]] inline void writer_ended(std::string_view store) {
  throw StateError(
      message(store, ": this writer has ended, by commit() or by an error of the system; call write() again"));
}

/// The bytes of a passage as a store has them written down. Throws FormatError for some that cannot be.
inline PassageRange stored_range(std::string_view store, PassageId id, std::int64_t first, std::int64_t last,
                                 std::string heading) {
  if (first < 0 || last <= first)
    throw FormatError(message(store, ": passage ", id, " has bytes ", first, " to ", last, "; the store is damaged"));
  return {static_cast<std::size_t>(first), static_cast<std::size_t>(last), std::move(heading)};
}

[[noreturn]] inline void no_stamp(std::string_view store) {
  throw FormatError(message(store, ": has lost the stamp of its generation; the store is damaged"));
}
[[noreturn]] inline void no_document_of(std::string_view store, const Passage& passage) {
  throw FormatError(message(store, ": passage ", passage.id, " belongs to document ", passage.document,
                            ", which is not there; the store is damaged"));
}

/// Throws FormatError for a passage that ends behind its text of `bytes`.
inline void check_inside(std::string_view store, const Passage& passage, std::int64_t bytes) {
  if (passage.range.end > static_cast<std::uint64_t>(bytes))
    throw FormatError(message(store, ": passage ", passage.id, " ends at byte ", passage.range.end, " of a text of ",
                              bytes, "; the store is damaged"));
}

}  // namespace graft::detail
