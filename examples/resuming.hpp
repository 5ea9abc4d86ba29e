#pragma once

// What programs that keep checkpoints share.

#include <cstdio>
#include <string>

#include <torch/nn/module.h>

#include "graft/core/hash.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/checkpoint.hpp"
#include "graft/training/trainer.hpp"

/// One fingerprint of all weights, as a model comes: for TrainerOptions::identity.
inline std::string weights_of(const torch::nn::Module& model) {
  std::string all;
  for (const auto& parameter : model.named_parameters())
    all += parameter.key() + graft::hex(graft::fingerprint(parameter.value()));
  return graft::hex(graft::fingerprint(all));
}

/// Takes up the run whose checkpoints are in `directory`, if there are any, and says what differs.
inline void go_on_from_checkpoint(graft::Trainer& trainer, const std::string& directory) {
  const auto found = graft::find_checkpoint(directory);
  if (!found) return;
  for (const std::string& fault : found->passed_over) std::printf("note: passed over: %s\n", fault.c_str());
  for (const std::string& difference : trainer.resume(found->checkpoint, found->path.string()))
    std::printf("note: %s\n", difference.c_str());
  std::printf("going on from step %lld\n", static_cast<long long>(trainer.steps_done()));
}
