#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/query_map.hpp"

namespace graft {

/// A question and a vector that answers it, by their rows.
struct AnsweredQuestion {
  std::size_t question = 0;
  std::size_t answer = 0;
  bool operator==(const AnsweredQuestion&) const = default;
};

/// What a map is trained on and judged by. A question with several answers stands in several pairs.
struct QueryMapData {
  VectorSpace space;
  std::span<const float> questions;  ///< [Q, width]
  std::span<const float> answers;    ///< [N, width]: all the vectors of the store that shall be told apart

  /// [N]: vectors of one number are of one document. They are never each other's rivals, and where a search is judged
  /// the nearest stands for the document. Empty: each is a document of its own.
  std::span<const std::int64_t> documents = {};

  std::span<const AnsweredQuestion> training;
  std::span<const AnsweredQuestion> held_out = {};  ///< decide when to stop and how much to blend; never trained on
};

struct QueryMapProgress {
  std::size_t epoch = 0;  ///< from 1
  std::size_t step = 0;   ///< of all steps, from 1
  std::size_t steps = 0;
  double loss = 0;  ///< mean of the epoch so far
};

struct QueryMapOptions {
  double scale = 30;         ///< the softmax runs over scale * score
  double same_above = 0.95;  ///< cosine: an answer as near as this to the right one is no rival of it; above 1: all are
  double lr = 1e-3;          ///< Adam's, after a tenth of the steps; then falls in a line to 0
  std::size_t epochs = 5;
  std::size_t patience = 2;  ///< ends after so many epochs in a row that did not do better on the held-out questions
  std::optional<double> blend = {};  ///< the only share of the trained map to be tried, in (0, 1]
  std::size_t batch = 64;            ///< pairs in a step
  std::uint64_t seed = 0;            ///< the same data, options and seed give the same map, by any number of threads
  unsigned threads = 0;              ///< 0: one for each core

  std::function<void(const QueryMapProgress&)> progress = {};  ///< called after each step
  std::function<bool()> stop = {};                             ///< asked before each step; true ends the training
};

/// nDCG@10 of documents, 0 without held-out questions.
struct QueryMapEpoch {
  double loss = 0;      ///< mean over the training pairs
  double held_out = 0;  ///< of the best blend of the map as it was after the epoch
};

struct QueryMapResult {
  QueryMap map;
  std::vector<QueryMapEpoch> epochs = {};
  std::size_t best_epoch = 0;  ///< whose map it is, from 1; 0: none did better than no map, and this is the identity
  double blend = 1;            ///< share of the trained map in it
  double before = 0;           ///< nDCG@10 on the held-out questions without a map, once an epoch was whole
  double after = 0;            ///< and with it: never less
  std::size_t same = 0;        ///< pairs of a training answer and another that `same_above` took for the same
  bool stopped = false;        ///< by `stop`: the map is the best of the epochs that were whole
};

/// Trains a linear map of questions, from the identity on. Each question's softmax runs over all answers but those of
/// the held-out questions' documents, so that no document is embedded again; it goes down by Adam with gradients
/// clipped to length 1. After each epoch the held-out questions are searched among all answers, by the blend with the
/// identity that does best (shares in steps of a tenth, or `blend`; the smaller of equals). Kept is the last epoch that
/// did better than no map and, within a standard error, as well as the best: a rate that falls makes later ones
/// steadier. Without held-out questions the last epoch is kept as it is.
///
/// Source: the softmax over in-batch documents of sentence-transformers' MultipleNegativesRankingLoss, here over all.
/// Throws ShapeError for sizes that do not fit, OptionError for a pair of rows that are not there, a question that is
/// trained on and held out, vectors that are not finite or, under cosine, zero, or an option outside its range;
/// TrainingError if the loss is not finite.
QueryMapResult train_query_map(const QueryMapData& data, const QueryMapOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/query_map_training-inl.hpp"
#endif
