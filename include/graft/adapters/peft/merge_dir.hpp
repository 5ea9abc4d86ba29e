#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "graft/adapters/peft/stored.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/model_dir.hpp"

namespace graft {

struct MergeDirOptions {
  std::uint64_t shard_bytes = 5'000'000'000;  ///< weights above this are cut into several files
  bool replace = false;                       ///< whether one that graft wrote there may be replaced
};

/// What merge_dir() wrote.
struct MergeDirReport {
  std::vector<std::string> merged;    ///< tensors with an update in them
  std::vector<std::string> replaced;  ///< tensors of the base that the adapter has in full: heads, biases
  std::vector<std::string> added;     ///< tensors that the base lacks: a new head
  std::vector<std::string> warnings;  ///< that the adapter was trained on another base
};

/// Writes the model in directory `base` with the adapter in directory `adapter` in its weights, as a directory that
/// transformers and load_pretrained() load and that gives the adapter's logits. Tensors go through one by one: the
/// memory taken is that of the largest few and of the adapter. The result appears whole or not at all.
///
/// Names meet where they are equal or differ by one leading part, such as "bert."; they are written as the adapter has
/// them if it brings tensors that the base lacks. config.json then says what the adapter's task makes of the model: its
/// class, such as BertForSequenceClassification, and a label for each output of the head. The tokenizer's files are
/// copied. Sums are taken in float32 and rounded once to the base's type.
///
/// Where a causal model's output layer shares the embedding's weight and the adapter changes one of the two alone, both
/// are written, and config.json unties them.
///
/// Throws FormatError that lists every layer and tensor of the adapter that the base has no place for; StateError if a
/// weight would not be finite, and as StoredAdapter, ModelDir and write_model_dir() do.
MergeDirReport merge_dir(const std::filesystem::path& base, const std::filesystem::path& adapter,
                         const std::filesystem::path& destination, const MergeDirOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/peft/merge_dir-inl.hpp"
#endif
