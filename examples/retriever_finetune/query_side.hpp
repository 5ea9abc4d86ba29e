#pragma once

// The questions' side is trained alone: the vectors of the store stay as they are.

#include <atomic>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "data.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/retrieval/query_map_training.hpp"
#include "judge.hpp"

/// What both methods train on.
struct QuerySide {
  const FinetuneOptions& options;
  std::string directory;  // of the model
  FinetuneData data = {};
  StoredVectors stored = {};
  std::vector<float> vectors = {};  // [questions, width]: those trained on, then those held out, as the model has them
  std::vector<graft::AnsweredQuestion> training = {}, held_out = {};  // rows of `vectors` and of the stored ones
  const std::atomic<bool>* stop = nullptr;

  const graft::StoreQuestion& question(std::size_t row) const {
    const std::size_t trained = data.training.questions.size();
    return row < trained ? data.training.questions[row] : data.held_out.questions[row - trained];
  }
  std::span<const float> held_out_vectors() const {
    return std::span(vectors).subspan(data.training.questions.size() * static_cast<std::size_t>(stored.space.width));
  }
};

/// A questions' side that was trained.
struct TrainedSide {
  std::string name;                   // "map", "adapter"
  bool stopped = false;               // by a signal: nothing else is set
  bool helps = false;                 // on the held-out questions; else it is as good as none and is not saved
  std::vector<float> held_out;        // vectors of the held-out questions
  std::size_t parameters = 0;         // that were trained
  double seconds = 0;                 // of training
  std::string said;                   // lines for people
  graft::Json report;                 // what else is known of it
  std::function<std::string()> save;  // writes it; returns the fingerprint by which stores know it
};

TrainedSide train_map(const QuerySide& side);
TrainedSide train_adapter(const QuerySide& side);
