#pragma once

// retriever_finetune rerank: a cross-encoder that learns which of the hits of a search answers a question.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "graft/adapters/kinds/lora.hpp"
#include "options.hpp"
#include "question_options.hpp"

struct RerankTraining : DataOptions {
  RerankTraining() { held_out_most = 200; }  // each with all its hits

  std::string store, encoder, model, out;
  bool json = false, overwrite = false;

  std::string mode = "hybrid";  // of the search whose hits are ranked
  QuestionOptions questions;
  std::size_t depth = 50;                      // hits of a search that are ranked
  std::size_t negatives = 7, last_rank = 100;  // of a question, and where they are looked for
  double most_share = 0.95;
  std::size_t most_questions = 0;  // to train on; 0: all

  bool lora = false;
  graft::LoraOptions lora_options{.rank = 32, .alpha = 64, .dropout = 0.1};
  std::int64_t epochs = 1;
  std::int64_t batch = 8;  // questions of a step
  std::optional<double> lr;
  bool pointwise = false;
  std::optional<std::size_t> max_tokens;
  bool calibrate = false;
};

int run_rerank_training(const RerankTraining& options);

/// main() of the subcommand: its options begin at argv[1].
int rerank_main(int argc, char** argv);
