#pragma once

// What training an encoder has in common, whichever sides are trained.

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "graft/core/json.hpp"
#include "graft/models/sentence_encoder.hpp"
#include "graft/training/trainer.hpp"
#include "options.hpp"

/// Puts an adapter on the encoder, or leaves all of its weights to be trained. Returns how many numbers are.
std::size_t make_trainable(graft::SentenceEncoder& encoder, const FinetuneOptions& options);

graft::TrainerOptions trainer_options(const FinetuneOptions& options, double lr, std::size_t epochs,
                                      const std::atomic<bool>& stop);

/// Makes the trained encoder `share` of itself and the rest what it was before: of an adapter its B, of weights their
/// change. Shares are of what was trained, however often this is called.
class Blend {
 public:
  /// Before the training.
  Blend(graft::SentenceEncoder encoder, Method method);
  /// After it.
  void trained();
  void set(double share);

 private:
  graft::NamedTensors weights();

  graft::SentenceEncoder encoder_;
  Method method_;
  graft::NamedTensors before_, after_;
};

/// Vectors of texts under a prompt in evaluation mode, without gradients: [N, width].
torch::Tensor embed(graft::SentenceEncoder& encoder, const std::vector<std::string>& texts, const std::string& prompt);

/// Writes the encoder or its adapter to --out and reads it back; throws StateError if `texts` have other vectors then.
/// Returns what the Embedder of it is called.
std::string save_encoder(graft::SentenceEncoder& encoder, const FinetuneOptions& options, const std::string& directory,
                         const std::string& data, const std::vector<std::string>& texts);

/// Throws OptionError if --out may not be written: to a place that is taken by anything but what graft wrote.
void check_out_directory(const FinetuneOptions& options, const std::string& directory);

/// What the run says of itself: epochs, loss.
graft::Json json_of(const graft::TrainingResult& result);
