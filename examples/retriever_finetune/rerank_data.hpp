#pragma once

// What a reranker is trained on and judged by: questions with right and wrong passages, and the hits of a search.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "data.hpp"
#include "graft/rag/cross_encoder.hpp"
#include "graft/retrieval/negatives.hpp"
#include "graft/retrieval/rerank_join.hpp"
#include "graft/training/ranked_texts.hpp"
#include "judge.hpp"
#include "questions.hpp"
#include "rerank.hpp"

/// The first hits of a search for a question, in its order.
struct Candidates {
  std::vector<std::string> texts;
  std::vector<std::uint8_t> right;  // of each: whether its document answers the question
  graft::RerankExample example;     // what the search knows of them, and 0 for the reranker's score
};

/// Thrown where Ctrl-C was pressed.
struct Stopped {};

/// The questions and the store, as far as they do not depend on the reranker.
class RerankData {
 public:
  /// Reads and checks all. Throws OptionError if the store has no vectors that the search needs.
  RerankData(const RerankTraining& options, const std::atomic<bool>& stop);

  const FinetuneData& data() const { return data_; }

  /// For each question to train on its right passages, then wrong ones that the search takes for right. Questions
  /// without a wrong one are left out. Throws Stopped.
  std::vector<graft::GradedList> training_lists(graft::NegativesReport& report);

  /// Of the questions held out. Throws Stopped.
  std::vector<Candidates> candidates();

 private:
  std::vector<graft::StoreQuestion> with_vectors(const std::vector<graft::StoreQuestion>& questions) const;
  std::vector<std::string> right_passages(const graft::StoreQuestion& question);

  const RerankTraining& options_;
  const std::atomic<bool>& stop_;
  SearchMode mode_;
  Search search_;
  FinetuneData data_;
};

/// nDCG@10 of each question, as the search ranks its candidates.
Judged judge_search(const std::vector<Candidates>& candidates);

/// The same as a reranker does alone, and joined with the search's scores by the weights that do best.
struct Reranked {
  Judged alone, joined;
  graft::RerankWeights weights;
  std::vector<double> logits;  // of all candidates, end to end
};
Reranked judge_reranked(const std::string& when, const std::vector<graft::StoreQuestion>& questions,
                        const std::vector<Candidates>& candidates, const graft::CrossEncoder& reranker,
                        const std::atomic<bool>& stop);

graft::Json json_of(const graft::NegativesReport& report);
void print_report(const graft::NegativesReport& report);
