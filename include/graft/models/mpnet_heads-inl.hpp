#pragma once

#include "graft/layers/init.hpp"
#include "graft/models/mpnet_heads.hpp"

namespace graft {

GRAFT_INLINE MpnetForSequenceClassificationImpl::MpnetForSequenceClassificationImpl(const MpnetConfig& config) {
  config.require_labels();
  encoder_ = register_module(config.base_name(), MpnetModel(config, /*with_pooler=*/false));
  classifier_ = register_module(
      "classifier", RobertaClassificationHead(config.hidden_size, config.num_labels(), config.hidden_dropout_prob));
  initialize_normal(*classifier_, config.initializer_range);
}

GRAFT_COMPILE_FAMILY(MpnetForSequenceClassification)

}  // namespace graft
