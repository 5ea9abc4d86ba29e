#pragma once

// New knowledge, in the two shapes it is taken in: questions with answers to train on, documents to look up.

#include <filesystem>
#include <string>
#include <vector>

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

/// JSONL files: rows of question and answer; of id, text and when; of question, answer and when.
Facts read_facts(const std::filesystem::path& train, const std::filesystem::path& documents,
                 const std::filesystem::path& questions);
