#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include "graft/core/mode.hpp"
#include "graft/layers/relative_position.hpp"
#include "graft/models/bert.hpp"
#include "graft/models/mpnet_config.hpp"

namespace graft {

/// Self-attention whose scores know the distance of their tokens, and the projection behind it: [T, D] -> [T, D].
/// `bias` [H, 2 R - 1] is the distance_bias of attention(). Children: `q`, `k`, `v`, `o`.
class MpnetSelfAttentionImpl : public torch::nn::Module {
 public:
  explicit MpnetSelfAttentionImpl(const MpnetConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets, const torch::Tensor& bias);

 private:
  std::int64_t heads_;
  double dropout_;
  Linear q_, k_, v_, o_;
};
TORCH_MODULE(MpnetSelfAttention);

/// LayerNorm(x + dropout(attn(x))): [T, D] -> [T, D]. Children: `attn`, `LayerNorm`.
class MpnetAttentionImpl : public torch::nn::Module {
 public:
  explicit MpnetAttentionImpl(const MpnetConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets, const torch::Tensor& bias);

 private:
  MpnetSelfAttention attn_;
  torch::nn::LayerNorm norm_;
  double dropout_;
};
TORCH_MODULE(MpnetAttention);

/// One transformer layer, norms after the residuals: [T, D] -> [T, D]. Children: `attention`, `intermediate`, `output`.
class MpnetLayerImpl : public torch::nn::Module {
 public:
  explicit MpnetLayerImpl(const MpnetConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& offsets, const torch::Tensor& bias);

 private:
  MpnetAttention attention_;
  Dense intermediate_;
  AddNorm output_;
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
class MpnetModelImpl : public torch::nn::Module {
 public:
  using Config = MpnetConfig;

  /// A model with fresh weights in float32 on the CPU (initialize_normal()). Throws OptionError as config.check() does.
  explicit MpnetModelImpl(const MpnetConfig& config, bool with_pooler = true);

  /// Throws ShapeError for a sequence without tokens or one longer than config().max_tokens(), and OptionError for an
  /// id outside the table; the last is looked for where the ids lie on the CPU.
  BertStates forward(const PackedBatch& batch);

  torch::Tensor hidden(const PackedBatch& batch);  ///< [T, D]
  torch::Tensor pooled(const PackedBatch& batch);  ///< [N, D]. Throws StateError without a pooler.

  const MpnetConfig& config() const { return config_; }
  std::string class_name() const { return "MPNetModel"; }

 private:
  MpnetConfig config_;
  TokenEmbeddings embeddings_{nullptr};
  MpnetEncoder encoder_{nullptr};
  Dense pooler_{nullptr};
};
TORCH_MODULE(MpnetModel);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/mpnet-inl.hpp"
#endif
