#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/retrieval/detail/document_checks.hpp"
#include "graft/retrieval/query_encoders.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::string encoders_note(const VectorSpace& space) { return "query encoders of " + space.model; }

GRAFT_INLINE void check_join(const JoinWeights& join) {
  for (const double number : {join.vector, join.word, join.rank_constant})
    if (!(number >= 0) || !std::isfinite(number))
      throw OptionError(message("a weight of the join is ", number, "; choose 0 or more"));
}

/// Writes the note, or removes it if there is nothing to say.
GRAFT_INLINE void write_encoders(Writer& writer, const VectorSpace& space, const std::vector<QueryEncoder>& encoders) {
  Json note = Json::object();
  for (const QueryEncoder& encoder : encoders) {
    Json& entry = note[encoder.fingerprint] = Json::object();
    if (encoder.join)
      entry["join"] = {{"vector", encoder.join->vector},
                       {"word", encoder.join->word},
                       {"rank_constant", encoder.join->rank_constant}};
  }
  if (encoders.empty())
    writer.remove_note(encoders_note(space));
  else
    writer.set_note(encoders_note(space), note.dump());
}

}  // namespace detail

GRAFT_INLINE std::vector<QueryEncoder> query_encoders(Snapshot& snapshot, const VectorSpace& space) {
  const std::string name = detail::encoders_note(space);
  const auto text = snapshot.note(name);
  std::vector<QueryEncoder> out;
  if (!text) return out;
  const std::string where = message("the store's note ", quoted(name));
  const Json note = parse_json(*text, where, {.depth = 8, .bytes = 1 << 20});
  const JsonFields fields(note, where);
  constexpr double kMost = std::numeric_limits<double>::max();
  for (const auto& [fingerprint, entry] : note.items()) {
    const JsonFields encoder = fields.object(fingerprint);
    out.push_back({fingerprint});
    if (!encoder.has("join")) continue;
    const JsonFields join = encoder.object("join");
    out.back().join = {join.number("vector", 0, kMost), join.number("word", 0, kMost),
                       join.number("rank_constant", 0, kMost)};
  }
  return out;
}

GRAFT_INLINE std::optional<QueryEncoder> find_query_encoder(Snapshot& snapshot, const VectorSpace& space,
                                                            std::string_view fingerprint) {
  for (QueryEncoder& encoder : query_encoders(snapshot, space))
    if (encoder.fingerprint == fingerprint) return std::move(encoder);
  return std::nullopt;
}

GRAFT_INLINE void put_query_encoder(Writer& writer, const VectorSpace& space, const QueryEncoder& encoder) {
  if (encoder.join) detail::check_join(*encoder.join);
  if (encoder.fingerprint.size() > 200)
    throw OptionError(message("the fingerprint of an encoder of questions has ", encoder.fingerprint.size(),
                              " bytes; at most 200 are kept"));
  detail::check_text("the fingerprint of an encoder of questions", encoder.fingerprint);
  std::vector<QueryEncoder> all = query_encoders(writer, space);
  std::erase_if(all, [&](const QueryEncoder& known) { return known.fingerprint == encoder.fingerprint; });
  all.push_back(encoder);
  detail::write_encoders(writer, space, all);
}

GRAFT_INLINE bool remove_query_encoder(Writer& writer, const VectorSpace& space, std::string_view fingerprint) {
  std::vector<QueryEncoder> all = query_encoders(writer, space);
  const auto removed = std::erase_if(all, [&](const QueryEncoder& known) { return known.fingerprint == fingerprint; });
  if (removed == 0) return false;
  detail::write_encoders(writer, space, all);
  return true;
}

}  // namespace graft
