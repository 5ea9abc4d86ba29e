#pragma once

// rag eval: how well a store answers questions whose answers are known.

#include <cstddef>
#include <string>
#include <vector>

#include "question_options.hpp"

struct EvalOptions {
  std::string store, model, queries, relevant;
  std::vector<std::string> modes = {"bm25", "dense", "hybrid"};
  std::size_t k = 10;
  QuestionOptions questions;
  bool json = false;
};

int run_eval(const EvalOptions& options);
