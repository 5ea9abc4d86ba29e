#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/query.hpp"
#include "graft/retrieval/store.hpp"
#include "graft/retrieval/store_questions.hpp"

namespace graft {

struct NegativesOptions {
  std::optional<VectorSpace> space = {};  ///< whose vectors are compared; without it all is by word
  bool by_vector = true;                  ///< what is near
  bool by_word = true;                    ///< what has the question's words

  std::size_t first_rank = 1;  ///< of each ranking these places are looked at, the first being 1
  std::size_t last_rank = 100;
  std::size_t per_question = 5;  ///< negatives wanted

  /// A passage is taken only if its score is at most this share of the right passage's: what is nearer may well be an
  /// answer too. Source: Moreira et al., NV-Retriever, arXiv:2407.15831 (TopK-PercPos). Above 1: no such limit.
  double most_share = 0.95;
  double margin = 0;  ///< and at least so much below it

  RerankFunction judge = {};  ///< reads question and passage: how well it answers
  double judge_margin = 0;    ///< what is not more than this below the judge's score of the right passage is left out

  std::function<void(std::size_t questions)> progress = {};  ///< called after each question
};

/// A passage that looks like an answer and is none.
struct Negative {
  PassageId passage = 0;
  DocumentId document = 0;
  std::optional<double> score = {};   ///< by vector, where the question has one
  std::optional<double> judged = {};  ///< by the judge, if there is one
};

/// A question with its right passage and the first of its negatives, to look at.
struct NegativeExample {
  std::string question, right, negative;
  std::optional<double> right_score = {}, negative_score = {};
};

/// What was found, and why the rest was left out.
struct NegativesReport {
  std::size_t questions = 0;
  std::size_t found = 0;
  std::size_t none = 0;                        ///< questions without a negative
  std::size_t too_near = 0;                    ///< passages above most_share, or within margin
  std::size_t judged_good = 0;                 ///< passages that the judge took for answers
  std::size_t right = 0;                       ///< passages of documents that answer the question
  std::size_t same_document = 0;               ///< passages of a document that has given a negative already
  std::vector<NegativeExample> examples = {};  ///< of five questions, evenly among those that have any
};

struct MinedNegatives {
  std::vector<std::vector<Negative>> of_questions;  ///< best first; at most one of a document
  NegativesReport report;
};

/// Finds for each question passages of the store that a search takes for answers: by vector and by word in turn, rank
/// by rank. The right passage is the nearest one of the right documents. The same store, questions and options give the
/// same negatives. Throws OptionError for ranks that are not 1 <= first_rank <= last_rank, a question without a right
/// document, limits that are not finite, a vector without a space, or neither by_vector nor by_word; and what
/// Retriever throws.
MinedNegatives mine_negatives(Store& store, std::span<const StoreQuestion> questions,
                              const NegativesOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/negatives-inl.hpp"
#endif
