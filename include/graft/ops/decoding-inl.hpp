#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/square.h>

#include "graft/core/error.hpp"
#include "graft/ops/decoding.hpp"
#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/kernels/decoding_kernels.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset) {
  const at::ScalarType type = x.scalar_type();
  const bool narrow = type == at::kBFloat16 || type == at::kHalf;
  const at::Tensor wide = narrow ? x.to(at::kFloat) : x, scale = narrow ? weight.to(at::kFloat) : weight;
  const at::Tensor unit = wide * at::rsqrt(at::mean(at::square(wide), {-1}, /*keepdim=*/true) + eps);
  return (unit * (offset == 0.0 ? scale : scale + offset)).to(type);
}

GRAFT_INLINE at::Tensor plain_rotate_pairs(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const std::int64_t half = x.size(2) / 2;
  const at::Tensor low = x.narrow(-1, 0, half), high = x.narrow(-1, half, half);
  return at::cat({low * cos - high * sin, high * cos + low * sin}, -1);
}

/// Whether x and what it meets run in one pass.
template <class... Others>
bool is_one_pass(const at::Tensor& x, const Others&... others) {
  const auto takes = [](const at::Tensor& t) { return t.scalar_type() == at::kFloat && t.device().is_cpu(); };
  const bool records = at::GradMode::is_enabled() && (x.requires_grad() || ... || others.requires_grad());
  return !records && x.numel() > 0 && (takes(x) && ... && takes(others));
}

inline constexpr std::int64_t decoding_grain = 1 << 14;  // elements that make a thread worth its start

}  // namespace detail

GRAFT_INLINE at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset) {
  if (weight.dim() != 1 || x.dim() == 0 || x.size(-1) != weight.size(0))
    throw ShapeError(message("input of a norm is ", x.sizes(), ", its weight ", weight.sizes(),
                             "; the last size of the input must be the weight's"));
  if (!detail::is_one_pass(x, weight)) return detail::plain_rms_norm(x, weight, eps, offset);
  const at::Tensor rows = x.contiguous(), by = weight.contiguous();
  const at::Tensor y = at::empty(x.sizes(), x.options().requires_grad(false));
  const std::int64_t n = weight.size(0);
  const float *from = rows.const_data_ptr<float>(), *scale = by.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  parallel_for(x.numel() / n, detail::decoding_grain / n, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      GRAFT_SIMD_CALL(float, rms_norm_row, from + row * n, n, scale, static_cast<float>(offset),
                      static_cast<float>(eps), to + row * n);
    }
  });
  return y;
}

GRAFT_INLINE at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  if (x.dim() != 3 || x.size(2) % 2 != 0 || cos.sizes() != at::IntArrayRef({x.size(0), 1, x.size(2) / 2}) ||
      sin.sizes() != cos.sizes())
    throw ShapeError(message("heads to turn are ", x.sizes(), ", the angles' cosines ", cos.sizes(), " and sines ",
                             sin.sizes(), "; they must be [T, H, d] with d even, and [T, 1, d / 2] both"));
  if (!detail::is_one_pass(x, cos, sin)) return detail::plain_rotate_pairs(x, cos, sin);
  const at::Tensor rows = x.contiguous(), cosines = cos.contiguous(), sines = sin.contiguous();
  const at::Tensor y = at::empty(x.sizes(), x.options().requires_grad(false));
  const std::int64_t heads = x.size(1), half = x.size(2) / 2, token = heads * 2 * half;
  const float* from = rows.const_data_ptr<float>();
  const float *c = cosines.const_data_ptr<float>(), *s = sines.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  parallel_for(x.size(0), detail::decoding_grain / token, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t < last; ++t) {
      GRAFT_SIMD_CALL(float, rotate_heads, from + t * token, heads, half, c + t * half, s + t * half, to + t * token);
    }
  });
  return y;
}

}  // namespace graft
