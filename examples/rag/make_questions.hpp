#pragma once

// rag questions: a language model writes questions for passages, to train a retriever on.

#include <cstddef>
#include <string>

#include "language_model.hpp"

struct QuestionsCommand {
  std::string store, model, where, out, instructions;
  std::string mode = "hybrid";
  std::size_t passages = 1000, found_within = 20;
  LanguageModelOptions language_model;
  bool json = false;
};

int run_questions(const QuestionsCommand& command);
