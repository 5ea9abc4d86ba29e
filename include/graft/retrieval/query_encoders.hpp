#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

/// How the rankings by vector and by word are joined: what Query calls vector_weight, word_weight and rank_constant.
struct JoinWeights {
  double vector = 1;
  double word = 1;
  double rank_constant = 60;
  bool operator==(const JoinWeights&) const = default;
};

/// What makes vectors of questions that fit the stored ones, and what was learned of it on this store's documents.
struct QueryEncoder {
  std::string fingerprint;               ///< QueryMap::fingerprint(), for one; empty: the model of the space itself
  std::optional<JoinWeights> join = {};  ///< nothing: equal weights
  bool operator==(const QueryEncoder&) const = default;
};

/// The encoders of questions that the store knows for vectors of `space`, by fingerprint. The model of the space fits
/// always, and is there only if something was learned of it. They are a note of the store. Throws FormatError for a
/// note that cannot be read.
std::vector<QueryEncoder> query_encoders(Snapshot& snapshot, const VectorSpace& space);

/// The one of that fingerprint.
std::optional<QueryEncoder> find_query_encoder(Snapshot& snapshot, const VectorSpace& space,
                                               std::string_view fingerprint);

/// Lets questions be made by `encoder`; replaces what is known of that fingerprint. Throws OptionError for weights that
/// are negative or not finite, or a fingerprint above 200 bytes or not UTF-8.
void put_query_encoder(Writer& writer, const VectorSpace& space, const QueryEncoder& encoder);

/// Takes it out again. False if it is not there.
bool remove_query_encoder(Writer& writer, const VectorSpace& space, std::string_view fingerprint);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/query_encoders-inl.hpp"
#endif
