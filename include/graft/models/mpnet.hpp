#pragma once

#include <memory>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/attention.hpp"
#include "graft/models/detail/instances.hpp"
#include "graft/models/encoder.hpp"
#include "graft/models/mpnet_config.hpp"

namespace graft {

/// LayerNorm(x + dropout(attn(x))), where the scores know the distance of their tokens: [T, D] -> [T, D].
/// `bias` [H, 2 R - 1] is the distance_bias of attention(). Children: `attn` (`q`, `k`, `v`, `o`), `LayerNorm`.
class MpnetAttentionImpl : public torch::nn::Module {
 public:
  explicit MpnetAttentionImpl(const MpnetConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets, const torch::Tensor& bias);

 private:
  SelfAttention attn_;
  std::shared_ptr<torch::nn::LayerNormImpl> norm_;
  double dropout_;
};
TORCH_MODULE(MpnetAttention);

/// One transformer layer: [T, D] -> [T, D]. First child: `attention`.
class MpnetLayerImpl : public EncoderLayer {
 public:
  explicit MpnetLayerImpl(const MpnetConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets, const torch::Tensor& bias) {
    return feed_forward(attention_(x, offsets, bias));
  }

 private:
  MpnetAttention attention_;
};
TORCH_MODULE(MpnetLayer);

/// The layers one after another, all with the biases of one table: [T, D] -> [T, D].
/// Children: `layer`, a list, and `relative_attention_bias` [32, H], a row for each of relative_position_buckets().
class MpnetEncoderImpl : public torch::nn::Module {
 public:
  explicit MpnetEncoderImpl(const MpnetConfig& config);

  /// Throws ShapeError as attention() does.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets);

 private:
  torch::nn::ModuleList layers_;
  Embedding biases_;
};
TORCH_MODULE(MpnetEncoder);

/// MPNet encoders on packed tokens, with the modules and parameters of transformers' MPNetModel under the same names.
/// There are no segments: type ids are not read. Dropout draws from LibTorch's default generator of its device.
///
/// Children: `embeddings`, `encoder`, `pooler`.
/// Threads: forward() may run on many at once in evaluation mode, while nothing changes the model.
/// Source: Song et al., MPNet, arXiv:2004.09297.
class MpnetModelImpl : public EncoderModel {
 public:
  using Config = MpnetConfig;

  /// A model with fresh weights in float32 on the CPU (initialize_normal()). Throws OptionError as config.check() does.
  explicit MpnetModelImpl(const MpnetConfig& config, bool with_pooler = true);

  GRAFT_INLINE torch::Tensor hidden(const PackedBatch& batch) override;
  GRAFT_INLINE torch::Tensor first(const PackedBatch& batch) override;

  const MpnetConfig& config() const { return config_; }
  std::string class_name() const { return "MPNetModel"; }

 private:
  MpnetConfig config_;
  MpnetEncoder encoder_{nullptr};
};
TORCH_MODULE(MpnetModel);
GRAFT_FAMILY_IS_COMPILED(MpnetModel)

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/mpnet-inl.hpp"
#endif
