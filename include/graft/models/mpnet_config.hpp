#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/mode.hpp"
#include "graft/models/encoder_config.hpp"
#include "graft/models/family.hpp"

namespace graft {

/// The sizes and settings of an MPNet encoder, named as in its config.json. As in transformers, the padding id is 1 and
/// distances fall into 32 buckets, whatever the file says. A struct filled in by hand is checked by the model that
/// takes it.
struct MpnetConfig : EncoderConfig {
  static constexpr std::int64_t padding = 1;  ///< a token's id and its position; neither row is ever trained

  std::vector<std::string> labels{"LABEL_0", "LABEL_1"};  ///< what a classifier's outputs mean, in their order
  std::string labels_fault{};  ///< what is wrong with the labels of a config.json, if anything: as in BertConfig

  MpnetConfig() {
    vocab_size = 30527;
    max_position_embeddings = 514;
  }

  /// Reads a config.json. `where` names it in errors. The sizes must be there; the rest has the defaults of
  /// EncoderConfig. Throws FormatError: missing fields, all at once; a value outside its range (sizes as check() has
  /// them); a setting that graft does not have: another number of buckets, chunking, quantisation.
  static MpnetConfig from_json(const Json& json, const std::string& where);

  /// What from_json() reads, with `architecture` (MPNetModel) and `dtype` ("float32", ...).
  Json to_json(const std::string& architecture, const std::string& dtype) const;

  /// Throws OptionError if a field leaves its range: sizes 1 to 2^20, but at most 1,024 layers, 2 to 2^24 words and 3
  /// to 2^22 positions.
  void check() const;

  /// Throws FormatError if there is a labels_fault.
  void require_labels() const;

  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels.size()); }
  /// Longest text that the position table serves.
  std::int64_t max_tokens() const { return max_position_embeddings - padding - 1; }

  std::string base_name() const { return "mpnet"; }  ///< name of the encoder inside a model with a head
  WeightNames weight_names() const;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/mpnet_config-inl.hpp"
#endif
