#pragma once

#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/mpnet.hpp"

namespace graft {

/// One class, or one number, for each sequence: logits [N, C], C = config().num_labels().
/// Children: `mpnet` without a pooler, and `classifier`, which is RoBERTa's head.
class MpnetForSequenceClassificationImpl : public torch::nn::Module {
 public:
  using Config = MpnetConfig;
  explicit MpnetForSequenceClassificationImpl(const MpnetConfig& config);

  torch::Tensor forward(const PackedBatch& batch) { return classifier_(encoder_->first(batch)); }

  const MpnetConfig& config() const { return encoder_->config(); }
  const MpnetModel& encoder() const { return encoder_; }
  std::string class_name() const { return "MPNetForSequenceClassification"; }

 private:
  MpnetModel encoder_{nullptr};
  RobertaClassificationHead classifier_{nullptr};
};
TORCH_MODULE(MpnetForSequenceClassification);
GRAFT_FAMILY_IS_COMPILED(MpnetForSequenceClassification)

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/mpnet_heads-inl.hpp"
#endif
