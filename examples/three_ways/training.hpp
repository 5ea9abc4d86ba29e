#pragma once

// What the ways that change weights share: a model trained on answers, and saved.

#include <cstdint>
#include <filesystem>
#include <string>

#include "graft/generation/chat_examples.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/training/interrupt.hpp"

struct TrainingRun {
  std::int64_t epochs = 1, batch_size = 8;
  double lr = 1e-4;
  std::uint64_t seed = 0;
};

/// Trains what of the model requires a gradient, with the loss on the answers alone. False if interrupted.
bool train_answers(const std::string& title, graft::CausalLM& model, const graft::ChatExamples& examples,
                   const TrainingRun& options, const graft::InterruptFlag& interrupt);

void save_full(const std::filesystem::path& directory, const graft::CausalLM& model, const std::string& original,
               bool overwrite);
void save_lora(const std::filesystem::path& directory, graft::CausalLM& model, const std::string& original,
               bool overwrite);
