#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <torch/csrc/autograd/custom_function.h>

#include "graft/adapters/low_rank.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft::detail {

/// y = u * c + bias, columns by columns: u [T, n], c and bias [n]. Backward reads u once for both gradients.
class ScaleColumns : public torch::autograd::Function<ScaleColumns> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& u,
                               const torch::Tensor& c, const torch::Tensor& bias) {
    context->save_for_backward({u, c});
    return bias.defined() ? torch::addcmul(bias, u, c) : u * c;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &u = saved[0], &c = saved[1];
    const std::int64_t columns = c.size(0);
    const torch::Tensor dy = grads[0].contiguous();
    const torch::Tensor rows = dy.view({-1, columns});
    const torch::Tensor dbias = context->needs_input_grad(2) ? rows.sum(0) : torch::Tensor();
    torch::Tensor du = torch::empty_like(dy), dc = torch::empty_like(c);
    if (c.is_cpu() && c.scalar_type() == torch::kFloat32 && dy.scalar_type() == torch::kFloat32) {
      both(rows, u, c, du, dc);
    } else {
      du = dy * c;
      dc = (rows * u.view({-1, columns})).sum(0);
    }
    return {du, dc, dbias};
  }

 private:
  static void both(const torch::Tensor& dy, const torch::Tensor& u, const torch::Tensor& c, torch::Tensor& du,
                   torch::Tensor& dc) {
    constexpr std::int64_t width = 64;
    const std::int64_t rows = dy.size(0), columns = dy.size(1);
    const auto *dy_data = dy.const_data_ptr<float>(), *u_data = u.const_data_ptr<float>(),
               *c_data = c.const_data_ptr<float>();
    auto *du_data = du.data_ptr<float>(), *dc_data = dc.data_ptr<float>();
    parallel_for((columns + width - 1) / width, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        const std::int64_t from = block * width, n = std::min(width, columns - from);
        float sum[width] = {};
        for (std::int64_t row = 0; row < rows; ++row) {
          const float* g = dy_data + row * columns + from;
          const float* v = u_data + row * columns + from;
          float* out = du_data + row * columns + from;
          for (std::int64_t i = 0; i < n; ++i) {
            out[i] = g[i] * c_data[from + i];
            sum[i] += g[i] * v[i];
          }
        }
        std::copy(sum, sum + n, dc_data + from);
      }
    });
  }
};

/// What DoRA needs of a layer type. A unit is what one magnitude belongs to: an output, or a dimension of an embedding.
///
///   rows(layer)                    the weight as [units, elements]
///   shape(layer)                   of the magnitudes in files
///   over_weight(layer, c)          c [units] so that it multiplies the weight
///   unbiased(layer, x, terms, ..)  the output with the terms and without the bias
///   scaled(layer, u, c)            u * c, unit by unit, plus the bias
///   plus_bias(y, bias)             y + bias, unit by unit: where B may have a bias
template <class Impl>
struct DoraLayer;

template <>
struct DoraLayer<torch::nn::LinearImpl> {
  using Impl = torch::nn::LinearImpl;
  static torch::Tensor rows(const Impl& layer) { return layer.weight; }
  static std::vector<std::int64_t> shape(const Impl& layer) { return {layer.weight.size(0)}; }
  static torch::Tensor over_weight(const Impl&, const torch::Tensor& c) { return c.unsqueeze(1); }
  static torch::Tensor unbiased(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms,
                                const std::shared_ptr<WeightCache>& cache) {
    return graft::linear(x, layer.weight, {}, terms, cache);
  }
  static torch::Tensor scaled(const Impl& layer, const torch::Tensor& u, const torch::Tensor& c) {
    return ScaleColumns::apply(u, c, layer.bias);
  }
  static torch::Tensor plus_bias(const torch::Tensor& y, const torch::Tensor& bias) { return y + bias; }
};

template <>
struct DoraLayer<torch::nn::EmbeddingImpl> {
  using Impl = torch::nn::EmbeddingImpl;
  static torch::Tensor rows(const Impl& layer) { return layer.weight.t(); }
  static std::vector<std::int64_t> shape(const Impl& layer) { return {layer.weight.size(1)}; }
  static torch::Tensor over_weight(const Impl&, const torch::Tensor& c) { return c; }
  static torch::Tensor unbiased(Impl& layer, const torch::Tensor& ids, std::span<const LowRankTerm> terms,
                                const std::shared_ptr<WeightCache>&) {
    return LowRank<Impl>::forward(layer, ids, terms);
  }
  static torch::Tensor scaled(const Impl&, const torch::Tensor& u, const torch::Tensor& c) { return u * c; }
};

template <std::size_t D, class Impl>
struct DoraConv {
  static torch::Tensor rows(const Impl& layer) { return layer.weight.flatten(1); }
  static std::vector<std::int64_t> shape(const Impl& layer) {
    std::vector<std::int64_t> sizes(D + 2, 1);
    sizes[1] = layer.weight.size(0);
    return sizes;
  }
  static torch::Tensor units(const torch::Tensor& c) {
    std::vector<std::int64_t> sizes(D + 1, 1);
    sizes[0] = c.numel();
    return c.view(sizes);
  }
  static torch::Tensor over_weight(const Impl&, const torch::Tensor& c) { return units(c).unsqueeze(1); }
  static torch::Tensor unbiased(Impl& layer, const torch::Tensor& x, std::span<const LowRankTerm> terms,
                                const std::shared_ptr<WeightCache>&) {
    const torch::Tensor y = LowRank<Impl>::forward(layer, x, terms);
    return layer.bias.defined() ? y - units(layer.bias) : y;
  }
  static torch::Tensor scaled(const Impl& layer, const torch::Tensor& u, const torch::Tensor& c) {
    const torch::Tensor y = u * units(c);
    return layer.bias.defined() ? plus_bias(y, layer.bias) : y;
  }
  static torch::Tensor plus_bias(const torch::Tensor& y, const torch::Tensor& bias) { return y + units(bias); }
};

template <>
struct DoraLayer<torch::nn::Conv1dImpl> : DoraConv<1, torch::nn::Conv1dImpl> {};
template <>
struct DoraLayer<torch::nn::Conv2dImpl> : DoraConv<2, torch::nn::Conv2dImpl> {};

/// Layer types that DoRA is written for.
template <class Impl>
concept DoraAdaptable = requires(const Impl& layer) {
  DoraLayer<Impl>::rows(layer);
};

/// Layer types whose B may have a bias.
template <class Impl>
concept BiasOnB = requires(const torch::Tensor& y) {
  DoraLayer<Impl>::plus_bias(y, y);
};

}  // namespace graft::detail
