#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <ATen/ops/zeros.h>
#include <torch/types.h>

#include "graft/tensor/parallel.hpp"
#include "graft/training/detail/optimizer_kernels.hpp"
#include "graft/training/optimizer.hpp"

namespace graft::detail {

/// What AdamW reads and writes in one step, for parameters of one element type on one device. All of a parameter are
/// dense and in one memory order.
struct AdamWLists {
  std::vector<torch::Tensor> parameters, grads, exp_avg, exp_avg_sq, steps;
};

/// Whether the kernels here are for a tensor: float32 and float64 on the CPU.
inline bool is_for_host(const torch::Tensor& tensor) {
  return tensor.is_cpu() && (tensor.scalar_type() == torch::kFloat || tensor.scalar_type() == torch::kDouble);
}

/// Zeros like each of `tensors`, which are dense, of one type and on one device: side by side in one buffer, each from
/// the start of a line of the caches.
inline std::vector<torch::Tensor> zeros_side_by_side(const std::vector<torch::Tensor>& tensors) {
  const auto room = [](const torch::Tensor& tensor) { return (tensor.numel() + 15) / 16 * 16; };
  std::int64_t total = 0;
  for (const auto& tensor : tensors) total += room(tensor);
  const auto buffer = torch::zeros({total}, tensors.front().options().requires_grad(false));
  std::vector<torch::Tensor> out;
  std::int64_t at = 0;
  for (const auto& tensor : tensors) {
    out.push_back(buffer.as_strided(tensor.sizes(), tensor.strides(), at));
    at += room(tensor);
  }
  return out;
}

/// A run of elements of one tensor of a list. Which runs there are depends on the sizes alone.
struct Piece {
  std::size_t tensor;
  std::int64_t first, count;
};
inline std::vector<Piece> pieces_of(const std::vector<torch::Tensor>& tensors) {
  constexpr std::int64_t longest = 1 << 14;
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::int64_t n = tensors[i].numel();
    for (std::int64_t first = 0; first < n; first += longest)
      pieces.push_back({i, first, std::min(longest, n - first)});
  }
  return pieces;
}

/// Calls body(i, pieces[i]) for every piece, on LibTorch's threads.
template <class Body>
void for_pieces(const std::vector<Piece>& pieces, const Body& body) {
  parallel_for(static_cast<std::int64_t>(pieces.size()), 1, [&](std::int64_t first, std::int64_t last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) body(i, pieces[i]);
  });
}

/// The sum of the squares of all elements, the same at any number of threads. The tensors are of type T and dense.
template <class T>
double sum_of_squares(const std::vector<torch::Tensor>& tensors) {
  const auto pieces = pieces_of(tensors);
  std::vector<double> sums(pieces.size());
  for_pieces(pieces, [&](std::size_t i, const Piece& piece) {
    const T* from = tensors[piece.tensor].template const_data_ptr<T>() + piece.first;
    sums[i] = GRAFT_SIMD_CALL(T, sum_of_squares<T>, from, piece.count);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

/// One step of parameters of type T in one pass, which divides the gradients by `divisor` and leaves them as they are.
template <class T>
void adamw_on_host(const AdamWLists& lists, const AdamWOptions& options, double lr, double weight_decay,
                   double divisor) {
  std::vector<AdamWFactors<T>> factors;
  for (const auto& step : lists.steps) {
    const double t = *step.data_ptr<float>() += 1.0F;
    factors.push_back({.divisor = static_cast<T>(divisor),
                       .keep = static_cast<T>(1.0 - lr * weight_decay),
                       .mean_share = static_cast<T>(1.0 - options.beta1),
                       .beta2 = static_cast<T>(options.beta2),
                       .square_share = static_cast<T>(1.0 - options.beta2),
                       .rate = static_cast<T>(lr / (1.0 - std::pow(options.beta1, t))),
                       .spread = static_cast<T>(std::sqrt(1.0 - std::pow(options.beta2, t))),
                       .eps = static_cast<T>(options.eps)});
  }
  for_pieces(pieces_of(lists.parameters), [&](std::size_t, const Piece& piece) {
    const auto at = [&](const std::vector<torch::Tensor>& list) {
      return static_cast<T*>(list[piece.tensor].data_ptr()) + piece.first;
    };
    GRAFT_SIMD_CALL(T, adamw<T>, at(lists.parameters), at(lists.grads), at(lists.exp_avg), at(lists.exp_avg_sq),
                    piece.count, factors[piece.tensor]);
  });
  for (const auto& parameter : lists.parameters) parameter.unsafeGetTensorImpl()->bump_version();
}

}  // namespace graft::detail
