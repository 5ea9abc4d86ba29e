#pragma once

// rag ask: an answer with its sources. rag summarise: what all documents say together.

#include <cstddef>
#include <cstdint>
#include <string>

#include "language_model.hpp"
#include "question_options.hpp"

struct AskCommand {
  std::string question, store, model, where;
  std::string mode = "hybrid";
  std::size_t top = 8;
  std::int64_t neighbours = 0;
  double least_similarity = 0.25;
  LanguageModelOptions language_model;
  QuestionOptions questions;
  bool json = false;
};

struct SummariseCommand {
  std::string store, where, focus;
  std::size_t most_calls = 1000;
  LanguageModelOptions language_model;
  bool json = false;
};

int run_ask(const AskCommand& command);
int run_summarise(const SummariseCommand& command);
