#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <variant>

#include <torch/nn/functional/padding.h>
#include <torch/nn/init.h>

#include "graft/adapters/low_rank.hpp"
#include "graft/core/error.hpp"

namespace graft {

GRAFT_INLINE void LowRankDefault::initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart start) {
  const torch::NoGradGuard no_grad;
  if (start == LowRankStart::gaussian) {
    A.normal_(0.0, 1.0 / static_cast<double>(A.size(0)));
  } else {
    torch::nn::init::kaiming_uniform_(A, std::sqrt(5.0));
  }
  B.zero_();
}

GRAFT_INLINE LowRankShape LowRank<torch::nn::LinearImpl>::shape(const torch::nn::LinearImpl& layer, std::int64_t rank) {
  const std::int64_t out = layer.weight.size(0);
  const std::int64_t in = layer.weight.size(1);
  return {{rank, in}, {out, rank}, std::min(in, out)};
}

GRAFT_INLINE torch::Tensor LowRank<torch::nn::LinearImpl>::forward(torch::nn::LinearImpl& layer, const torch::Tensor& x,
                                                                   std::span<const LowRankTerm> terms,
                                                                   const std::shared_ptr<WeightCache>& cache) {
  return graft::linear(x, layer.weight, layer.bias, terms, cache);
}

GRAFT_INLINE torch::Tensor LowRank<torch::nn::LinearImpl>::forward_unbiased(torch::nn::LinearImpl& layer,
                                                                            const torch::Tensor& x,
                                                                            std::span<const LowRankTerm> terms,
                                                                            const std::shared_ptr<WeightCache>& cache) {
  return graft::linear(x, layer.weight, {}, terms, cache);
}

GRAFT_INLINE torch::Tensor LowRank<torch::nn::LinearImpl>::update(const torch::nn::LinearImpl&, const torch::Tensor& A,
                                                                  const torch::Tensor& B) {
  return B.mm(A);
}

GRAFT_INLINE LowRankShape LowRank<torch::nn::EmbeddingImpl>::shape(const torch::nn::EmbeddingImpl& layer,
                                                                   std::int64_t rank) {
  if (layer.options.max_norm()) {
    throw OptionError(
        "an embedding with max_norm rewrites its rows as they are read and takes no adapter; "
        "build it without max_norm");
  }
  const std::int64_t vocabulary = layer.weight.size(0);
  const std::int64_t dim = layer.weight.size(1);
  return {{rank, vocabulary}, {dim, rank}, std::min(vocabulary, dim)};
}

GRAFT_INLINE void LowRank<torch::nn::EmbeddingImpl>::initialise(torch::Tensor& A, torch::Tensor& B, LowRankStart) {
  const torch::NoGradGuard no_grad;
  A.zero_();
  B.normal_();
}

GRAFT_INLINE torch::Tensor LowRank<torch::nn::EmbeddingImpl>::forward(torch::nn::EmbeddingImpl& layer,
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

GRAFT_INLINE torch::Tensor LowRank<torch::nn::EmbeddingImpl>::update(const torch::nn::EmbeddingImpl&,
                                                                     const torch::Tensor& A, const torch::Tensor& B) {
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

template <std::int64_t D, class Impl>
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

template <std::int64_t D, class Impl>
torch::Tensor ConvLowRank<D, Impl>::forward(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms) {
  torch::Tensor y = layer.forward(x);
  for (const LowRankTerm& term : terms) {
    const torch::Tensor in = term.dropout > 0.0 ? torch::dropout(x, term.dropout, /*train=*/true) : x;
    const torch::Tensor h = convolve_as<static_cast<std::size_t>(D)>(layer, in, term.A.to(y.scalar_type()));
    const torch::Tensor B = term.B.to(y.scalar_type());
    if constexpr (D == 1) {
      y = y.add(torch::conv1d(h, B), term.scale);
    } else {
      y = y.add(torch::conv2d(h, B), term.scale);
    }
  }
  return y;
}

template <std::int64_t D, class Impl>
torch::Tensor ConvLowRank<D, Impl>::update(const Impl& layer, const torch::Tensor& A, const torch::Tensor& B) {
  return B.flatten(1).mm(A.flatten(1)).view(layer.weight.sizes());
}

}  // namespace detail
}  // namespace graft

#if defined(GRAFT_COMPILED) || defined(GRAFT_SOURCE)
template struct graft::detail::ConvLowRank<1, torch::nn::Conv1dImpl>;
template struct graft::detail::ConvLowRank<2, torch::nn::Conv2dImpl>;
#endif
