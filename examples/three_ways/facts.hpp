#pragma once

// New knowledge, in the two shapes it is taken in: questions with answers to train on, documents to look up.

#include <filesystem>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/io/dataset.hpp"

struct Exchange {
  std::string question, answer;
  bool later = false;  // whether the fact came after training
};

struct FactDocument {
  std::string name, text;
  bool later = false;
};

struct Facts {
  std::vector<Exchange> train;          // what fine-tuning sees
  std::vector<FactDocument> documents;  // what retrieval sees
  std::vector<Exchange> questions;      // what every way is asked
};

inline bool is_later(const graft::DatasetRow& row, const std::string& value, const std::filesystem::path& path) {
  if (value == "before" || value == "after") return value == "after";
  throw graft::FormatError(graft::message(path.string(), ", line ", row.line, ": \"when\" is ", graft::quoted(value),
                                          "; write before or after, as the fact came before or after training"));
}

/// JSONL files: rows of question and answer; of id, text and when; of question, answer and when.
inline Facts read_facts(const std::filesystem::path& train, const std::filesystem::path& documents,
                        const std::filesystem::path& questions) {
  Facts facts;
  for (const graft::DatasetRow& row : graft::read_dataset(train, {"question", "answer"}).rows)
    facts.train.push_back({row.values[0], row.values[1]});
  for (const graft::DatasetRow& row : graft::read_dataset(documents, {"id", "text", "when"}).rows)
    facts.documents.push_back({row.values[0], row.values[1], is_later(row, row.values[2], documents)});
  for (const graft::DatasetRow& row : graft::read_dataset(questions, {"question", "answer", "when"}).rows)
    facts.questions.push_back({row.values[0], row.values[1], is_later(row, row.values[2], questions)});
  return facts;
}
