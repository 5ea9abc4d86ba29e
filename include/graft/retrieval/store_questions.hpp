#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/judgements.hpp"
#include "graft/retrieval/pairs.hpp"
#include "graft/retrieval/store.hpp"

namespace graft {

/// A question whose answers are known, as a store has them.
struct StoreQuestion {
  std::string text;
  std::vector<float> vector = {};      ///< [width] of a space of the store; empty: none was made yet
  std::vector<DocumentId> right = {};  ///< what answers it
  std::string encoder = {};            ///< Query::encoder: what made the vector
  std::string where = {};              ///< file and line
};

/// The questions whose answers are in a store, and what was left out.
struct StoreQuestions {
  std::vector<StoreQuestion> questions;
  std::vector<std::size_t> rows;         ///< of what was given, one for each question
  std::size_t left_out = 0;              ///< rows of which the store has no answer at all
  std::size_t unknown = 0;               ///< answers that the store does not have, in these rows and in others
  std::vector<std::string> faults = {};  ///< the first twenty of them, by file and line
};

/// Looks for the documents whose text is a positive of a row; else, for those of which a passage is: byte for byte, but
/// for white space at the ends.
StoreQuestions find_answers(Snapshot& snapshot, std::span<const QuestionPairs> rows);

/// Looks for the documents that are judged relevant, grade 1 and more, by their uri. Queries of which nothing is so
/// judged are left out.
StoreQuestions find_answers(Snapshot& snapshot, std::span<const JudgedQuery> queries,
                            const std::map<std::string, Judgements>& judgements);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/store_questions-inl.hpp"
#endif
