#pragma once

// What is trained on: questions, and where the store has their answers.

#include <cstddef>
#include <string>
#include <vector>

#include "graft/retrieval/pairs.hpp"
#include "graft/retrieval/store_questions.hpp"
#include "options.hpp"

/// What was left out of files of questions.
struct LeftOut {
  std::vector<graft::Leak> leaks;  // of the two files: these rows are not trained on
  std::size_t leaking_rows = 0;
  std::size_t bad_rows = 0;
  std::vector<std::string> faults;  // of the first bad rows
};

/// Pairs in two sets that share nothing.
struct PairRows : LeftOut {
  std::vector<graft::QuestionPairs> training, held_out;
};

/// Questions in two sets that share nothing, with their answers in a store.
struct FinetuneData : LeftOut {
  graft::StoreQuestions training, held_out;
};

/// Pairs; those held out in a file of their own, or a part of the one. Throws OptionError if nothing is left to train
/// on or to judge by.
PairRows read_pair_rows(const DataOptions& options);

/// Reads the files that `options` name. Throws OptionError if nothing is left to train on.
FinetuneData read_data(graft::Snapshot& snapshot, const DataOptions& options);

/// Says on standard error what was left out, and why.
void print_left_out(const LeftOut& data);
void print_left_out(const FinetuneData& data);
