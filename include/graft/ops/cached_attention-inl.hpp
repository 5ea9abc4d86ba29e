#pragma once

#include <algorithm>
#include <limits>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include "graft/core/error.hpp"
#include "graft/ops/cached_attention.hpp"
#include "graft/ops/detail/heads.hpp"
#include "graft/ops/kernels/cached_attention_kernels.hpp"
#include "graft/tensor/parallel.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE at::Tensor plain_cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                                               const at::Tensor& offsets, const at::Tensor& lengths,
                                               const AttentionOptions& options) {
  at::Tensor out = at::empty(q.sizes(), q.options().requires_grad(false));
  const std::int64_t window = options.window;
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  const auto* held = lengths.const_data_ptr<std::int64_t>();
  const std::int64_t group = q.size(1) / keys.size(1);
  for (std::int64_t n = 0; n < keys.size(0); ++n) {
    const std::int64_t count = ends[n + 1] - ends[n];
    if (count == 0) continue;
    const auto heads = [&](const at::Tensor& x) { return x[n].narrow(1, 0, held[n]).repeat_interleave(group, 0); };
    at::Tensor scores = at::matmul(q.narrow(0, ends[n], count).transpose(0, 1), heads(keys).transpose(1, 2)) *
                        scale_of(options, q);  // [H, t, held]
    const at::Tensor query = at::arange(held[n] - count, held[n], at::kLong).unsqueeze(1);
    const at::Tensor key = at::arange(held[n], at::kLong).unsqueeze(0);
    at::Tensor hidden = key > query;
    if (window > 0) hidden = hidden.logical_or(key <= query - window);
    scores = scores.masked_fill(hidden.to(scores.device()), -std::numeric_limits<double>::infinity());
    out.narrow(0, ends[n], count).copy_(at::matmul(at::softmax(scores, -1), heads(values)).transpose(0, 1));
  }
  return out;
}

GRAFT_INLINE void check_cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                                         const at::Tensor& offsets, const at::Tensor& lengths,
                                         const AttentionOptions& options) {
  if (options.dropout != 0.0) throw OptionError("attention to a cache has no dropout; set it to 0");
  if (options.window < 0) throw OptionError(message("attention's window is ", options.window, "; choose 0 for none"));
  check_scale(options);
  if (q.dim() != 3 || keys.dim() != 4 || values.sizes() != keys.sizes() || keys.size(3) != q.size(2) ||
      keys.size(1) < 1 || q.size(1) % keys.size(1) != 0 || q.size(2) < 1) {
    throw ShapeError(message("attention to a cache got q ", q.sizes(), ", keys ", keys.sizes(), ", values ",
                             values.sizes(),
                             "; it wants q [T, H, d] and keys, values [N, G, C, d], where G divides H"));
  }
  if (keys.scalar_type() != q.scalar_type() || values.scalar_type() != q.scalar_type()) {
    throw ShapeError(message("attention to a cache got q of type ", q.scalar_type(), ", keys ", keys.scalar_type(),
                             ", values ", values.scalar_type(), "; convert them to one type"));
  }
  const auto whole = [](const at::Tensor& x) {
    return x.dim() == 1 && x.scalar_type() == at::kLong && x.device().is_cpu() && x.is_contiguous();
  };
  if (!whole(offsets) || !whole(lengths) || offsets.size(0) != keys.size(0) + 1 || lengths.size(0) != keys.size(0)) {
    throw ShapeError(message("attention to a cache got offsets ", offsets.sizes(), " and lengths ", lengths.sizes(),
                             " for ", keys.size(0), " sequences; it wants [N + 1] and [N], int64 on the CPU"));
  }
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  const auto* held = lengths.const_data_ptr<std::int64_t>();
  bool fits = ends[0] == 0 && ends[lengths.size(0)] == q.size(0);
  for (std::int64_t n = 0; n < lengths.size(0) && fits; ++n) {
    fits = ends[n] <= ends[n + 1] && ends[n + 1] - ends[n] <= held[n] && held[n] <= keys.size(2);
  }
  if (!fits) {
    throw ShapeError(message("attention to a cache: offsets must rise from 0 to the ", q.size(0),
                             " tokens of q, and each length lie between a sequence's new tokens and the ", keys.size(2),
                             " rows of the cache"));
  }
}

template <class T>
at::Tensor attend_cached_all(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                             const at::Tensor& offsets, const at::Tensor& lengths, const AttentionOptions& options) {
  at::Tensor out = at::empty(q.sizes(), q.options().requires_grad(false));
  const T scale = static_cast<T>(scale_of(options, q));
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  const auto* held = lengths.const_data_ptr<std::int64_t>();
  const std::int64_t sequences = keys.size(0), kv_heads = keys.size(1), group = q.size(1) / kv_heads;
  const std::int64_t room = keys.size(2) * keys.size(3);
  const T* key = keys.const_data_ptr<T>();
  const T* value = values.const_data_ptr<T>();
  const HeadRows<const T> queries = const_head_rows<T>(q);
  const HeadRows<T> to = head_rows<T>(out);
  // A pair's work is its new tokens times what the sequence holds; below this many products a thread costs more.
  const std::int64_t mean = q.numel() / std::max<std::int64_t>(sequences * kv_heads, 1) * keys.size(2) / 2;
  parallel_for(sequences * kv_heads, (1 << 15) / std::max<std::int64_t>(mean, 1),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t i = first; i < last; ++i) {
                   const std::int64_t n = i / kv_heads, head = i % kv_heads;
                   const std::int64_t count = ends[n + 1] - ends[n];
                   if (count == 0) continue;
                   const CachedAttention<T> task{queries,          to,      ends[n],        count,
                                                 head * group,     group,   q.size(2),      key + i * room,
                                                 value + i * room, held[n], options.window, scale};
                   GRAFT_SIMD_CALL(T, attend_cached<T>, task);
                 }
               });
  return out;
}

}  // namespace detail

GRAFT_INLINE at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                                         const at::Tensor& offsets, const at::Tensor& lengths,
                                         const AttentionOptions& options) {
  detail::check_cached_attention(q, keys, values, offsets, lengths, options);
  const at::NoGradGuard no_grad;
  const bool kernel = q.device().is_cpu() && keys.device().is_cpu() && values.device().is_cpu() &&
                      keys.is_contiguous() && values.is_contiguous();
  if (kernel && q.scalar_type() == at::kFloat)
    return detail::attend_cached_all<float>(detail::dense_heads(q), keys, values, offsets, lengths, options);
  if (kernel && q.scalar_type() == at::kDouble)
    return detail::attend_cached_all<double>(detail::dense_heads(q), keys, values, offsets, lengths, options);
  return detail::plain_cached_attention(q, keys, values, offsets, lengths, options);
}

}  // namespace graft
