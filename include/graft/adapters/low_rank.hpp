#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include "graft/core/mode.hpp"
#include "graft/ops/linear.hpp"

namespace graft {

/// How the trained part of a fresh adapter is drawn (from LibTorch's generator); the other part is zero.
enum class LowRankStart {
  kaiming,   ///< A uniform in +-1 / sqrt(fan in), which is Kaiming's with a = sqrt(5); B zero
  gaussian,  ///< A normal with deviation 1 / r; B zero
  pissa,     ///< both from the r largest singular values of the weight: Meng et al., PiSSA, arXiv:2404.02948
  olora,     ///< both from the first r columns of a QR of the weight: Buyukakyuz, OLoRA, arXiv:2406.01775
};

/// Shapes of the two factors that a layer wants for one rank.
struct LowRankShape {
  std::vector<std::int64_t> A;
  std::vector<std::int64_t> B;
  std::int64_t largest_rank;  ///< above it the factors would hold more than the weight's own rank
};

/// Where a layer's outputs, or inputs, lie.
struct LayerAxis {
  std::int64_t weight;  ///< the axis of the weight that counts them
  std::int64_t data;    ///< the axis of what the layer gives, or takes, counted from the end: -1 is the last
};

/// What differs between layer types. A layer type becomes adaptable by a specialisation with these static members:
///
///   LowRankShape shape(const Impl&, rank)            shapes of A and B for a rank
///   torch::Tensor update(const Impl&, A, B)          B A in the shape of the weight, not scaled
///   torch::Tensor forward(Impl&, x, terms)           the layer's output plus every term; no terms: the plain layer
///   void initialise(A, B, LowRankStart)              draws a start at which the update is zero
///   key_A, key_B                                     what PEFT's files call A and B behind the layer's name
///
/// LowRankDefault has the last two. The layer holds its main parameter in a member `weight`, and its bias, if it has
/// one, in `bias`. What a layer type may say besides; without it the kinds of adapters that need it refuse the layer:
///
///   LayerAxis outputs, inputs                        DoRA and a bias on B need the outputs, IA3 those that it scales
///   forward(Impl&, x, terms, cache)                  in place of forward(): gets a WeightCache that is the layer's own
///   forward_unbiased(Impl&, x, terms[, cache])       forward() without the bias, where that is cheaper than to take it
///                                                    off again
///   bool looks_up_rows = true                        x are numbers of rows of the weight: trained token rows
///   bool obeys_row_sets = true                       x is [..., in], and forward() obeys LowRankTerm::rows
///
/// A type with outputs and inputs may leave forward() out: LoRA is then computed as the paper writes it.
template <class Impl>
struct LowRank;

/// Kaiming or gaussian A, zero B; the names that files give the factors of linear and convolution layers.
struct LowRankDefault {
  static constexpr const char* key_A = "lora_A.weight";
  static constexpr const char* key_B = "lora_B.weight";

  static void initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart start);
};

/// Layer types whose forward() takes low-rank terms along, and those that keep copies of their weight for it.
template <class Impl>
concept CachesWeight = requires(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms,
                                const std::shared_ptr<WeightCache>& cache) {
  { LowRank<Impl>::forward(layer, x, terms, cache) } -> std::same_as<torch::Tensor>;
};
template <class Impl>
concept FusesLowRank = CachesWeight<Impl> ||
    requires(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms) {
  { LowRank<Impl>::forward(layer, x, terms) } -> std::same_as<torch::Tensor>;
};

/// True for layer types that have a LowRank.
template <class Impl>
concept LowRankAdaptable = requires(Impl& layer, const torch::Tensor& x, torch::Tensor& t, std::int64_t rank,
                                    LowRankStart start) {
  { LowRank<Impl>::shape(layer, rank) } -> std::same_as<LowRankShape>;
  LowRank<Impl>::initialise(t, t, start);
  { LowRank<Impl>::update(layer, x, x) } -> std::same_as<torch::Tensor>;
}
&&(FusesLowRank<Impl> || requires {
  LowRank<Impl>::outputs;
  LowRank<Impl>::inputs;
});

/// What a layer type says of itself, whatever the type.
struct LayerType {
  const char* key_A;
  const char* key_B;
  std::optional<LayerAxis> outputs = std::nullopt;
  std::optional<LayerAxis> inputs = std::nullopt;
  bool fuses = false;  ///< its forward() takes low-rank terms
  bool looks_up_rows = false;
  bool obeys_row_sets = false;

  /// Whether the weight is [out, in] and the layer y = x W^T + bias.
  bool is_linear() const {
    return outputs && inputs && outputs->weight == 0 && inputs->weight == 1 && outputs->data == -1 &&
           inputs->data == -1;
  }

  template <LowRankAdaptable Impl>
  static LayerType of() {
    using Type = LowRank<Impl>;
    LayerType type{Type::key_A, Type::key_B};
    type.fuses = FusesLowRank<Impl>;
    if constexpr (requires { Type::outputs; }) type.outputs = Type::outputs;
    if constexpr (requires { Type::inputs; }) type.inputs = Type::inputs;
    if constexpr (requires { Type::looks_up_rows; }) type.looks_up_rows = Type::looks_up_rows;
    if constexpr (requires { Type::obeys_row_sets; }) type.obeys_row_sets = Type::obeys_row_sets;
    return type;
  }
};

/// x [..., in] -> [..., out]; A [r, in], B [out, r]. Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.
template <>
struct LowRank<torch::nn::LinearImpl> : LowRankDefault {
  static constexpr LayerAxis outputs{0, -1}, inputs{1, -1};
  static constexpr bool obeys_row_sets = true;

  static LowRankShape shape(const torch::nn::LinearImpl& layer, std::int64_t rank);
  /// `cache` holds copies of the weight that speed up its products while it is frozen; see linear().
  static torch::Tensor forward(torch::nn::LinearImpl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms,
                               const std::shared_ptr<WeightCache>& cache = nullptr);
  static torch::Tensor forward_unbiased(torch::nn::LinearImpl& layer, const torch::Tensor& x,
                                        std::span<const LowRankTerm> terms, const std::shared_ptr<WeightCache>& cache);
  static torch::Tensor update(const torch::nn::LinearImpl& layer, const torch::Tensor& A, const torch::Tensor& B);
};

/// ids [...] -> [..., dim]; A [r, vocabulary] starts at zero and B [dim, r] normal: the other way round than in a
/// linear layer. Ids cannot be dropped: LoraOptions::dropout has no effect here, as in PEFT.
template <>
struct LowRank<torch::nn::EmbeddingImpl> {
  static constexpr const char* key_A = "lora_embedding_A";
  static constexpr const char* key_B = "lora_embedding_B";
  static constexpr LayerAxis outputs{1, -1};
  static constexpr bool looks_up_rows = true;

  static LowRankShape shape(const torch::nn::EmbeddingImpl& layer, std::int64_t rank);
  static void initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart start);
  static torch::Tensor forward(torch::nn::EmbeddingImpl& layer, const torch::Tensor& ids,
                               std::span<const LowRankTerm> terms);
  static torch::Tensor update(const torch::nn::EmbeddingImpl& layer, const torch::Tensor& A, const torch::Tensor& B);
};

namespace detail {

/// A of the adapter is a convolution with the layer's kernel, stride, padding and dilation and r outputs; B one with a
/// kernel of 1. Layers with groups are refused: their update could not be folded.
template <std::int64_t D, class Impl>
struct ConvLowRank : LowRankDefault {
  static constexpr LayerAxis outputs{0, -1 - D}, inputs{1, -1 - D};

  static LowRankShape shape(const Impl& layer, std::int64_t rank);
  static torch::Tensor forward(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms);
  static torch::Tensor update(const Impl& layer, const torch::Tensor& A, const torch::Tensor& B);
};

}  // namespace detail

/// x [N, in, L] or [in, L]; A [r, in, k], B [out, r, 1].
template <>
struct LowRank<torch::nn::Conv1dImpl> : detail::ConvLowRank<1, torch::nn::Conv1dImpl> {};

/// x [N, in, H, W] or [in, H, W]; A [r, in, k, k], B [out, r, 1, 1].
template <>
struct LowRank<torch::nn::Conv2dImpl> : detail::ConvLowRank<2, torch::nn::Conv2dImpl> {};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/low_rank-inl.hpp"
#else
extern template struct graft::detail::ConvLowRank<1, torch::nn::Conv1dImpl>;
extern template struct graft::detail::ConvLowRank<2, torch::nn::Conv2dImpl>;
#endif
