#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include <torch/nn/functional/padding.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include "graft/core/error.hpp"
#include "graft/ops/linear.hpp"

namespace graft {

/// How the trained part of a fresh adapter is drawn (from LibTorch's generator); the other part is zero.
enum class LowRankStart {
  kaiming,   ///< A uniform in +-1 / sqrt(fan in), which is Kaiming's with a = sqrt(5); B zero
  gaussian,  ///< A normal with deviation 1 / r; B zero
  pissa,     ///< both from the r largest singular values of the weight: Meng et al., PiSSA, arXiv:2404.02948
  olora,     ///< both from the first r columns of a QR of the weight: Buyukakyuz, OLoRA, arXiv:2406.01775
};

/// Whether A and B come from the weight, so that s B A is a part of it at the start. The papers take that part off the
/// weight. graft leaves the weight as it is and counts the update from there, s (B A - start), which is the same
/// function with the same gradients; without the adapter the model is the exact base. Linear layers alone have it.
inline bool starts_at_weight(LowRankStart start) {
  return start == LowRankStart::pissa || start == LowRankStart::olora;
}

/// What alpha is divided by.
enum class LowRankScale {
  rank,          ///< alpha / r: Hu et al., LoRA, arXiv:2106.09685
  root_of_rank,  ///< alpha / sqrt(r), rsLoRA: Kalajdzievski, arXiv:2312.03732
};

/// Size and regularisation of a low-rank update: LoraOptions{.rank = 4, .alpha = 8.0}.
struct LoraOptions {
  std::int64_t rank = 8;                       ///< r, from 1 to what the layer's shape allows
  double alpha = 16.0;                         ///< the update is multiplied by alpha / r; finite
  double dropout = 0.0;                        ///< chance in [0, 1) that an input of A is zeroed in training
  LowRankStart start = LowRankStart::kaiming;  ///< initial values
  LowRankScale divisor = LowRankScale::rank;   ///< r, or its root
  bool bias = false;  ///< trains a bias on B too, zero at first; not for embeddings. PEFT calls it lora_bias

  /// What B A is multiplied by before it joins the layer's weight.
  double scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (divisor == LowRankScale::rank ? r : std::sqrt(r));
  }
};

/// Shapes of the two factors that a layer wants for one rank.
struct LowRankShape {
  std::vector<std::int64_t> A;
  std::vector<std::int64_t> B;
  std::int64_t largest_rank;  ///< above it the factors would hold more than the weight's own rank
};

/// What differs between layer types. A layer type becomes adaptable by a specialisation with these static members:
///
///   LowRankShape shape(const Impl&, rank)            shapes of A and B for a rank
///   void initialise(A, B, LowRankStart)              draws a start at which the update is zero
///   torch::Tensor forward(Impl&, x, terms)           the layer's output plus every term; no terms: the plain layer
///   torch::Tensor update(const Impl&, A, B)          B A in the shape of the weight, not scaled
///   key_A, key_B                                     what PEFT's files call A and B behind the layer's name
///
/// LowRankDefault has the last two and initialise(). The layer holds its main parameter in a member `weight`.
template <class Impl>
struct LowRank;

/// Kaiming or gaussian A, zero B; the names that files give the factors of linear and convolution layers.
struct LowRankDefault {
  static constexpr const char* key_A = "lora_A.weight";
  static constexpr const char* key_B = "lora_B.weight";

  static void initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart start) {
    const torch::NoGradGuard no_grad;
    if (start == LowRankStart::gaussian) {
      A.normal_(0.0, 1.0 / static_cast<double>(A.size(0)));
    } else {
      torch::nn::init::kaiming_uniform_(A, std::sqrt(5.0));
    }
    B.zero_();
  }
};

/// True for layer types that have a LowRank.
template <class Impl>
concept LowRankAdaptable = requires(Impl& layer, const torch::Tensor& x, torch::Tensor& t, std::int64_t rank,
                                    std::span<const LowRankTerm> terms, LowRankStart start) {
  { LowRank<Impl>::shape(layer, rank) } -> std::same_as<LowRankShape>;
  LowRank<Impl>::initialise(t, t, start);
  { LowRank<Impl>::forward(layer, x, terms) } -> std::same_as<torch::Tensor>;
  { LowRank<Impl>::update(layer, x, x) } -> std::same_as<torch::Tensor>;
};

/// x [..., in] -> [..., out]; A [r, in], B [out, r]. Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1.
template <>
struct LowRank<torch::nn::LinearImpl> : LowRankDefault {
  static LowRankShape shape(const torch::nn::LinearImpl& layer, std::int64_t rank);
  /// `cache` holds copies of the weight that speed up its products while it is frozen; see linear().
  static torch::Tensor forward(torch::nn::LinearImpl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms,
                               const std::shared_ptr<WeightCache>& cache = nullptr);
  static torch::Tensor update(const torch::nn::LinearImpl& layer, const torch::Tensor& A, const torch::Tensor& B);
  /// A and B where starts_at_weight(options.start), computed in float32, or float64 for a float64 weight.
  static void decompose(const torch::nn::LinearImpl& layer, torch::Tensor& A, torch::Tensor& B,
                        const LoraOptions& options);
};

/// ids [...] -> [..., dim]; A [r, vocabulary] starts at zero and B [dim, r] normal: the other way round than in a
/// linear layer. Ids cannot be dropped: LoraOptions::dropout has no effect here, as in PEFT.
template <>
struct LowRank<torch::nn::EmbeddingImpl> {
  static constexpr const char* key_A = "lora_embedding_A";
  static constexpr const char* key_B = "lora_embedding_B";

  static LowRankShape shape(const torch::nn::EmbeddingImpl& layer, std::int64_t rank);
  static void initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart start);
  static torch::Tensor forward(torch::nn::EmbeddingImpl& layer, const torch::Tensor& ids,
                               std::span<const LowRankTerm> terms);
  static torch::Tensor update(const torch::nn::EmbeddingImpl& layer, const torch::Tensor& A, const torch::Tensor& B);
};

namespace detail {

/// A of the adapter is a convolution with the layer's kernel, stride, padding and dilation and r outputs; B one with a
/// kernel of 1. A [r, in, k...], B [out, r, 1...]. Layers with groups are refused: their update could not be folded.
template <std::size_t D, class Impl>
struct ConvLowRank : LowRankDefault {
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

namespace detail {

/// Layer types whose A and B can come from the weight.
template <class Impl>
concept StartsFromWeight = requires(const Impl& layer, torch::Tensor& t, const LoraOptions& options) {
  LowRank<Impl>::decompose(layer, t, t, options);
};

inline torch::Tensor dropped(const torch::Tensor& x, double chance) {
  return chance > 0.0 ? torch::dropout(x, chance, /*train=*/true) : x;
}

}  // namespace detail

inline LowRankShape LowRank<torch::nn::LinearImpl>::shape(const torch::nn::LinearImpl& layer, std::int64_t rank) {
  const std::int64_t out = layer.weight.size(0);
  const std::int64_t in = layer.weight.size(1);
  return {{rank, in}, {out, rank}, std::min(in, out)};
}

inline torch::Tensor LowRank<torch::nn::LinearImpl>::forward(torch::nn::LinearImpl& layer, const torch::Tensor& x,
                                                             std::span<const LowRankTerm> terms,
                                                             const std::shared_ptr<WeightCache>& cache) {
  return graft::linear(x, layer.weight, layer.bias, terms, cache);
}

inline torch::Tensor LowRank<torch::nn::LinearImpl>::update(const torch::nn::LinearImpl&, const torch::Tensor& A,
                                                            const torch::Tensor& B) {
  return B.mm(A);
}

inline void LowRank<torch::nn::LinearImpl>::decompose(const torch::nn::LinearImpl& layer, torch::Tensor& A,
                                                      torch::Tensor& B, const LoraOptions& options) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor weight = layer.weight.to(A.scalar_type());
  if (options.start == LowRankStart::olora) {
    const auto [Q, R] = torch::linalg_qr(weight);
    A.copy_(R.narrow(0, 0, options.rank));
    B.copy_(Q.narrow(1, 0, options.rank));
    return;
  }
  const auto [U, S, V] = torch::linalg_svd(weight, /*full_matrices=*/false);
  const torch::Tensor root = (S.narrow(0, 0, options.rank) / options.scale()).sqrt();
  A.copy_(root.unsqueeze(1) * V.narrow(0, 0, options.rank));
  B.copy_(U.narrow(1, 0, options.rank) * root);
}

inline LowRankShape LowRank<torch::nn::EmbeddingImpl>::shape(const torch::nn::EmbeddingImpl& layer, std::int64_t rank) {
  if (layer.options.max_norm()) {
    throw OptionError(
        "an embedding with max_norm rewrites its rows as they are read and takes no adapter; "
        "build it without max_norm");
  }
  const std::int64_t vocabulary = layer.weight.size(0);
  const std::int64_t dim = layer.weight.size(1);
  return {{rank, vocabulary}, {dim, rank}, std::min(vocabulary, dim)};
}

inline void LowRank<torch::nn::EmbeddingImpl>::initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart) {
  const torch::NoGradGuard no_grad;
  A.zero_();
  B.normal_();
}

inline torch::Tensor LowRank<torch::nn::EmbeddingImpl>::forward(torch::nn::EmbeddingImpl& layer,
                                                                const torch::Tensor& ids,
                                                                std::span<const LowRankTerm> terms) {
  torch::Tensor y = layer.forward(ids);
  for (const LowRankTerm& term : terms) {
    const torch::Tensor h =
        torch::embedding(term.A.t(), ids, layer.options.padding_idx().value_or(-1), layer.options.scale_grad_by_freq());
    y = y + (torch::linear(h, term.B) * term.scale).to(y.scalar_type());
  }
  return y;
}

inline torch::Tensor LowRank<torch::nn::EmbeddingImpl>::update(const torch::nn::EmbeddingImpl&, const torch::Tensor& A,
                                                               const torch::Tensor& B) {
  return A.t().mm(B.t());
}

namespace detail {

/// x convolved with `kernel` as `layer` convolves with its weight: same stride, padding, padding mode and dilation.
template <std::size_t D, class Impl>
torch::Tensor convolve_as(const Impl& layer, torch::Tensor x, const torch::Tensor& kernel) {
  const auto& options = layer.options;
  std::vector<std::int64_t> left(D, 0);
  std::vector<std::int64_t> right(D, 0);
  for (std::size_t d = 0; d < D; ++d) {
    if (const auto* sizes = std::get_if<torch::ExpandingArray<D>>(&options.padding())) {
      left[d] = right[d] = (**sizes)[d];
    } else if (std::holds_alternative<torch::enumtype::kSame>(options.padding())) {
      const std::int64_t total = (*options.dilation())[d] * ((*options.kernel_size())[d] - 1);
      left[d] = total / 2;
      right[d] = total - left[d];
    }
  }
  const bool zeros = std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode());
  std::vector<std::int64_t> inner = left;
  if (!zeros || left != right) {
    std::vector<std::int64_t> both;
    for (std::size_t d = D; d-- > 0;) both.insert(both.end(), {left[d], right[d]});
    auto pad = torch::nn::functional::PadFuncOptions(both);
    if (std::holds_alternative<torch::enumtype::kReflect>(options.padding_mode())) pad.mode(torch::kReflect);
    if (std::holds_alternative<torch::enumtype::kReplicate>(options.padding_mode())) pad.mode(torch::kReplicate);
    if (std::holds_alternative<torch::enumtype::kCircular>(options.padding_mode())) pad.mode(torch::kCircular);
    x = torch::nn::functional::pad(x, pad);
    inner.assign(D, 0);
  }
  if constexpr (D == 1) {
    return torch::conv1d(x, kernel, {}, *options.stride(), inner, *options.dilation());
  } else {
    return torch::conv2d(x, kernel, {}, *options.stride(), inner, *options.dilation());
  }
}

template <std::size_t D, class Impl>
LowRankShape ConvLowRank<D, Impl>::shape(const Impl& layer, std::int64_t rank) {
  if (layer.options.groups() != 1) {
    throw OptionError(message("a convolution with ", layer.options.groups(),
                              " groups takes no adapter: its update has no grouped form; leave it out of the targets"));
  }
  const std::vector<std::int64_t> weight = layer.weight.sizes().vec();
  std::vector<std::int64_t> A = weight;
  A[0] = rank;
  std::vector<std::int64_t> B(weight.size(), 1);
  B[0] = weight[0];
  B[1] = rank;
  return {A, B, std::min(weight[0], layer.weight.numel() / weight[0])};
}

template <std::size_t D, class Impl>
torch::Tensor ConvLowRank<D, Impl>::forward(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms) {
  torch::Tensor y = layer.forward(x);
  for (const LowRankTerm& term : terms) {
    const torch::Tensor h = convolve_as<D>(layer, dropped(x, term.dropout), term.A.to(y.scalar_type()));
    const torch::Tensor B = term.B.to(y.scalar_type());
    if constexpr (D == 1) {
      y = y.add(torch::conv1d(h, B), term.scale);
    } else {
      y = y.add(torch::conv2d(h, B), term.scale);
    }
  }
  return y;
}

template <std::size_t D, class Impl>
torch::Tensor ConvLowRank<D, Impl>::update(const Impl& layer, const torch::Tensor& A, const torch::Tensor& B) {
  return B.flatten(1).mm(A.flatten(1)).view(layer.weight.sizes());
}

}  // namespace detail

}  // namespace graft
