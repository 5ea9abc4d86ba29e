#pragma once

// How well questions are answered, before and after.

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "graft/core/json.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/join_training.hpp"
#include "graft/retrieval/store_questions.hpp"

/// All vectors of a space, in memory.
struct StoredVectors {
  graft::VectorSpace space;
  std::vector<graft::PassageId> passages;
  std::vector<graft::DocumentId> documents;  // of each passage
  std::vector<float> numbers;                // [passages, width]
};

StoredVectors read_vectors(graft::Snapshot& snapshot, const graft::VectorSpace& space);

/// nDCG@10 of each question.
struct Judged {
  std::string name;
  std::vector<double> ndcg;
};

/// Rankings of the questions by `vectors` [questions, width] among all that is stored, and by word.
std::vector<graft::JoinExample> rank(graft::Snapshot& snapshot, const StoredVectors& stored,
                                     const graft::ExactIndex& index, std::span<const graft::StoreQuestion> questions,
                                     std::span<const float> vectors);

/// The same by vector alone.
std::vector<graft::JoinExample> rank_vectors(const StoredVectors& stored, const graft::ExactIndex& index,
                                             std::span<const graft::StoreQuestion> questions,
                                             std::span<const float> vectors);

/// By vector alone, by word alone, or joined.
Judged judge_vectors(std::string name, std::span<const graft::JoinExample> examples);
Judged judge_words(std::string name, std::span<const graft::JoinExample> examples);
Judged judge_joined(std::string name, std::span<const graft::JoinExample> examples, const graft::JoinWeights& weights);

double mean(const Judged& judged);

/// How much of what was trained does best, and what that comes to.
struct Share {
  double best = 0, after = 0;
};

/// Of shares 0.1, 0.2, ... 1 the one of the largest `quality`, the smallest of equals; 0 if none is above `before`.
/// `fixed` is taken as it is.
Share best_share(double before, std::optional<double> fixed, const std::function<double(double share)>& quality);

graft::Json json_of(const Judged& judged);

/// A table of `all`, then what `after` did question by question against `before`, with the questions it changed most.
void print_table(std::span<const Judged> all);
void print_changes(std::span<const graft::StoreQuestion> questions, const Judged& before, const Judged& after);
graft::Json changes_json(std::span<const graft::StoreQuestion> questions, const Judged& before, const Judged& after);
