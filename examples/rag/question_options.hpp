#pragma once

// How questions are encoded, joined and their hits put in order: options of search, ask and eval. And rag allow.

#include <cstddef>
#include <optional>
#include <string>

namespace CLI {
class App;
}

struct QuestionOptions {
  std::string adapter;  // a map of questions, as retriever_finetune writes it
  std::optional<double> vector_weight, word_weight, rank_constant;  // else what the store has learned, else equal ones

  std::string rerank;  // directory of a cross-encoder
  std::size_t rerank_depth = 50;
  std::optional<double> least_score;
  std::optional<double> rerank_weight, rerank_vector_weight, rerank_word_weight;  // else what the reranker has learned

  void add_to(CLI::App& command);
  void add_encoding_to(CLI::App& command);  // all but what concerns the reranker
};

/// Lets the questions of a store be encoded by a map that was trained with another.
struct AllowOptions {
  std::string adapter, store;
};

int run_allow(const AllowOptions& options);
