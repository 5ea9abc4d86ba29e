#pragma once

// rag search: the passages that answer a question.

#include <cstddef>
#include <cstdint>
#include <string>

#include "question_options.hpp"

struct SearchOptions {
  std::string question, store, model, where;
  std::string mode = "hybrid";
  std::size_t top = 5;
  std::size_t per_document = 0;
  std::int64_t neighbours = 0;
  QuestionOptions questions;
  bool json = false;
};

int run_search(const SearchOptions& options);
