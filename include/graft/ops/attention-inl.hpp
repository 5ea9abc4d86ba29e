#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "graft/ops/attention.hpp"
#include "graft/ops/detail/autograd.hpp"
#include "graft/ops/detail/dropout_bits.hpp"
#include "graft/ops/detail/flash_attention.hpp"
#include "graft/ops/detail/heads.hpp"
#include "graft/ops/kernels/attention_kernels.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE double scale_of(const AttentionOptions& options, const at::Tensor& q) {
  return options.scale.value_or(1.0 / std::sqrt(static_cast<double>(q.size(2))));
}

/// [queries, keys] of `length` each: what a causal query does not see.
GRAFT_INLINE at::Tensor hidden_keys(std::int64_t length, std::int64_t window, const at::TensorOptions& options) {
  const at::Tensor all = at::ones({length, length}, options.dtype(at::kBool));
  return window > 0 ? all.triu(1).logical_or(all.tril(-window)) : all.triu(1);
}

/// A distance bias [H, 2 R - 1] as [H, queries, keys] of `length` each.
GRAFT_INLINE at::Tensor bias_of_pairs(const at::Tensor& bias, std::int64_t length) {
  const at::Tensor place = at::arange(length, bias.options().dtype(at::kLong));
  const at::Tensor column = place.unsqueeze(0) - place.unsqueeze(1) + bias.size(1) / 2;
  return bias.index_select(1, column.flatten()).unflatten(1, {length, length});
}

GRAFT_INLINE at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                        const at::Tensor& offsets, const AttentionOptions& options,
                                        const at::Tensor& bias) {
  const std::int64_t* ends = offsets.const_data_ptr<std::int64_t>();
  const std::int64_t group = q.size(1) / k.size(1);
  std::vector<at::Tensor> parts;
  for (std::int64_t n = 0; n + 1 < offsets.numel(); ++n) {
    const std::int64_t length = ends[n + 1] - ends[n];
    const auto heads_first = [&](const at::Tensor& x, std::int64_t repeat) {
      const at::Tensor heads = x.narrow(0, ends[n], length).transpose(0, 1);
      return repeat == 1 ? heads : heads.repeat_interleave(repeat, 0);
    };
    at::Tensor scores = at::matmul(heads_first(q, 1), heads_first(k, group).transpose(1, 2)) * scale_of(options, q);
    if (bias.defined()) scores = scores + bias_of_pairs(bias, length);
    if (options.causal) {
      scores = scores.masked_fill(hidden_keys(length, options.window, q.options()),
                                  -std::numeric_limits<double>::infinity());
    }
    const at::Tensor weights = at::dropout(at::softmax(scores, -1), options.dropout, options.dropout > 0.0);
    parts.push_back(at::matmul(weights, heads_first(v, group)).transpose(0, 1));
  }
  return parts.empty() ? at::empty_like(q) : at::cat(parts);
}

/// The same on [N, longest] places, each of a token or masked, so that no offset is read on the host.
GRAFT_INLINE at::Tensor plain_padded_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                               const Offsets& offsets, const AttentionOptions& options,
                                               const at::Tensor& bias) {
  const std::int64_t tokens = q.size(0), sequences = offsets.ends.size(0) - 1, length = offsets.longest;
  if (tokens == 0 || sequences == 0) return at::empty_like(q);
  const at::Tensor starts = offsets.ends.slice(0, 0, sequences), lengths = offsets.ends.diff();
  const at::Tensor place = at::arange(length, starts.options());
  const at::Tensor token = (starts.unsqueeze(1) + place).clamp_max(tokens - 1).flatten();  // some token at empty places
  const at::Tensor empty = (place >= lengths.unsqueeze(1)).unsqueeze(1).unsqueeze(1);      // [N, 1, 1, longest]
  const auto heads_first = [&](const at::Tensor& x, std::int64_t repeat) {
    const at::Tensor heads = x.index_select(0, token).unflatten(0, {sequences, length}).transpose(1, 2);
    return repeat == 1 ? heads : heads.repeat_interleave(repeat, 1);
  };
  const std::int64_t group = q.size(1) / k.size(1);
  at::Tensor scores = at::matmul(heads_first(q, 1), heads_first(k, group).transpose(2, 3)) * scale_of(options, q);
  if (bias.defined()) scores = scores + bias_of_pairs(bias, length);
  const at::Tensor hidden = options.causal ? hidden_keys(length, options.window, q.options()).logical_or(empty) : empty;
  // The lowest finite value: the rows of empty places, in which all may be masked, then hold no NaN.
  const double lowest = q.scalar_type() == at::kHalf ? -65504.0 : -3.3e38;
  const at::Tensor weights =
      at::dropout(at::softmax(scores.masked_fill(hidden, lowest), -1), options.dropout, options.dropout > 0.0);
  const at::Tensor out = at::matmul(weights, heads_first(v, group)).transpose(1, 2).flatten(0, 1);
  const at::Tensor sequence = at::repeat_interleave(lengths, std::optional(tokens));
  const at::Tensor at_place =
      at::arange(tokens, starts.options()) + sequence * length - starts.index_select(0, sequence);
  return out.index_select(0, at_place);
}

GRAFT_INLINE void check_scale(const AttentionOptions& options) {
  if (options.scale && !(*options.scale > 0.0 && std::isfinite(*options.scale))) {
    throw OptionError(message("attention's scale is ", *options.scale, "; choose a finite number above 0"));
  }
}

/// Throws ShapeError unless `offsets` is as attention() wants it for T tokens, `q` being one of its tensors.
GRAFT_INLINE void check_offsets(const Offsets& offsets, const at::Tensor& q) {
  const at::Tensor& ends = offsets.ends;
  const at::Device device = offsets.longest > 0 ? q.device() : at::Device(at::kCPU);
  if (ends.dim() != 1 || ends.numel() < 1 || ends.scalar_type() != at::kLong || ends.device() != device ||
      !ends.is_contiguous()) {
    throw ShapeError(message("attention got offsets ", ends.sizes(), " of type ", ends.scalar_type(), " on ",
                             ends.device(), "; it wants [N + 1] int64 on ", device.is_cpu() ? "the CPU" : device.str(),
                             ", without gaps"));
  }
  if (offsets.longest > 0) return;
  const std::int64_t* end = ends.const_data_ptr<std::int64_t>();
  const std::int64_t last = ends.numel() - 1;
  bool rising = end[0] == 0 && end[last] == q.size(0);
  for (std::int64_t n = 0; n < last && rising; ++n) rising = end[n] <= end[n + 1];
  if (!rising) {
    throw ShapeError(message("attention's offsets run from ", end[0], " to ", end[last], "; they must rise from 0 to ",
                             q.size(0), ", the number of tokens"));
  }
}

GRAFT_INLINE void check_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Offsets& offsets,
                                  const AttentionOptions& options, const at::Tensor& bias) {
  check_dropout(options.dropout);
  check_scale(options);
  if (options.window < 0 || (options.window > 0 && !options.causal)) {
    throw OptionError(message("attention's window is ", options.window, options.causal ? "" : " without causal",
                              "; choose 0 for none, or with causal the number of tokens that one may see"));
  }
  if (q.dim() != 3 || k.dim() != 3 || v.sizes() != k.sizes() || k.size(0) != q.size(0) || k.size(2) != q.size(2) ||
      q.size(1) < 1 || k.size(1) < 1 || q.size(2) < 1 || q.size(1) % k.size(1) != 0) {
    throw ShapeError(message("attention got q ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes(),
                             "; it wants q [T, H, d] and k, v [T, G, d], where G divides H"));
  }
  if (k.scalar_type() != q.scalar_type() || v.scalar_type() != q.scalar_type()) {
    throw ShapeError(message("attention got q of type ", q.scalar_type(), ", k ", k.scalar_type(), ", v ",
                             v.scalar_type(), "; convert them to one type"));
  }
  check_offsets(offsets, q);
  if (!bias.defined()) return;
  const std::int64_t longest = std::max<std::int64_t>(longest_of(offsets), 1);
  if (bias.dim() != 2 || bias.size(0) != q.size(1) || bias.size(1) % 2 != 1 || bias.size(1) < 2 * longest - 1 ||
      bias.scalar_type() != q.scalar_type() || bias.device() != q.device()) {
    throw ShapeError(message("attention got a distance bias ", bias.sizes(), " of type ", bias.scalar_type(), " on ",
                             bias.device(), "; it wants [", q.size(1), ", 2 R - 1] with R at least ", longest,
                             ", of type ", q.scalar_type(), " on ", q.device()));
  }
}

/// A batch cut into pairs of sequence and key head, and those into one run of about equal work for each thread.
struct AttentionPlan {
  std::vector<AttentionTask> tasks;
  std::vector<std::int64_t> runs;  ///< run r is tasks runs[r] to runs[r + 1] - 1
  std::int64_t longest = 0;
  std::int64_t words = 0;  ///< of keep bits, in all

  AttentionPlan(const at::Tensor& offsets, const AttentionShape& shape) {
    const std::int64_t* ends = offsets.const_data_ptr<std::int64_t>();
    const std::int64_t kv_heads = shape.heads / shape.group;
    double work = 0;
    for (std::int64_t n = 0; n + 1 < offsets.numel(); ++n) {
      const std::int64_t length = ends[n + 1] - ends[n];
      if (length == 0) continue;
      longest = std::max(longest, length);
      work += cost(length) * static_cast<double>(kv_heads);
      for (std::int64_t h = 0; h < kv_heads; ++h) {
        tasks.push_back({ends[n], length, h, words});
        words += shape.group * length * shape.words(length);
      }
    }
    const int threads = std::max(1, at::in_parallel_region() ? 1 : at::get_num_threads());
    double done = 0;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if (done >= work * static_cast<double>(runs.size()) / threads) runs.push_back(static_cast<std::int64_t>(i));
      done += cost(tasks[i].length);
    }
    runs.push_back(static_cast<std::int64_t>(tasks.size()));
  }

  /// Calls body(task, room) for every task, on all threads.
  template <class S, class Body>
  void run(std::int64_t room, const Body& body) const {
    parallel_for(static_cast<std::int64_t>(runs.size()) - 1, 1, [&](std::int64_t first, std::int64_t last) {
      std::vector<compute_t<S>> scratch(static_cast<std::size_t>(room));
      for (std::int64_t i = runs[first]; i < runs[last]; ++i) body(tasks[static_cast<std::size_t>(i)], scratch.data());
    });
  }

 private:
  // Products grow with the square, packing with the length.
  static double cost(std::int64_t length) { return static_cast<double>(length) * static_cast<double>(length + 32); }
};

GRAFT_INLINE at::Tensor dense_heads(const at::Tensor& x) { return x.stride(2) == 1 ? x : x.contiguous(); }

GRAFT_INLINE AttentionShape attention_shape(const at::Tensor& q, const at::Tensor& k, const AttentionOptions& options,
                                            const DropoutBits& bits) {
  return {q.size(1),      q.size(1) / k.size(1), q.size(2),         scale_of(options, q),
          options.causal, options.window,        bits.keep_scale(), nullptr,
          bits.key,       bits.threshold};
}

template <class T>
DistanceBias<T> distance_bias_rows(const at::Tensor& bias) {
  if (!bias.defined()) return {};
  return {bias.const_data_ptr<T>(), (bias.size(1) + 1) / 2};
}

/// Sums of DistanceBiasGrads over the sequences, in their order, as the gradient of a bias of `columns`.
GRAFT_INLINE at::Tensor sum_bias_grads(const at::Tensor& grads, const at::Tensor& offsets, std::int64_t columns) {
  const std::int64_t* ends = offsets.const_data_ptr<std::int64_t>();
  const at::Tensor sum = at::zeros({grads.size(0), columns}, grads.options());
  for (std::int64_t n = 0; n + 1 < offsets.numel(); ++n) {
    const std::int64_t length = ends[n + 1] - ends[n];
    if (length == 0) continue;
    sum.narrow(1, (columns + 1) / 2 - length, 2 * length - 1).add_(grads.narrow(1, 2 * ends[n], 2 * length - 1));
  }
  return sum;
}

/// `bias` is in the type that its kernels compute in, and contiguous.
class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q_any, const at::Tensor& k_any,
                            const at::Tensor& v_any, const std::optional<at::Tensor>& given_bias,
                            const at::Tensor& offsets, const AttentionOptions& options) {
    const at::Tensor q = dense_heads(q_any), k = dense_heads(k_any), v = dense_heads(v_any);
    const at::Tensor bias = given_bias.value_or(at::Tensor());
    AttentionShape shape = attention_shape(q, k, options, draw_dropout(options.dropout));
    const AttentionPlan plan(offsets, shape);
    at::Tensor keep;
    if (shape.threshold > 0) {
      keep = at::empty({plan.words}, at::kLong);
      shape.keep = static_cast<std::uint64_t*>(keep.data_ptr());
    }
    const at::Tensor out = at::empty(q.sizes(), q.options());
    const at::Tensor logsumexp =
        at::empty({q.size(0), q.size(1)}, q.options().dtype(q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
    with_element_type(q.scalar_type(), [&]<class S>() {
      const AttentionForward<S> x{const_head_rows<S>(q),
                                  const_head_rows<S>(k),
                                  const_head_rows<S>(v),
                                  head_rows<S>(out),
                                  logsumexp.data_ptr<compute_t<S>>(),
                                  distance_bias_rows<compute_t<S>>(bias)};
      const std::int64_t room = GRAFT_SIMD_CALL(S, attention_room<S>, plan.longest, shape.size);
      plan.run<S>(room, [&](const AttentionTask& task, compute_t<S>* room) {
        GRAFT_SIMD_CALL(S, attend<S>, task, shape, x, room);
      });
    });
    context->save_for_backward({q, k, v, out, logsumexp, keep, offsets, bias});
    context->saved_data["scale"] = shape.scale;
    context->saved_data["causal"] = shape.causal;
    context->saved_data["window"] = shape.window;
    context->saved_data["threshold"] = static_cast<std::int64_t>(shape.threshold);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivative("attention");
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &logsumexp = saved[4];
    const at::Tensor &keep = saved[5], &bias = saved[7];
    const at::Tensor grad = dense_heads(grads[0]);
    const DropoutBits bits{static_cast<std::uint32_t>(context->saved_data["threshold"].toInt()), 0};
    AttentionShape shape = attention_shape(q, k,
                                           {.causal = context->saved_data["causal"].toBool(),
                                            .window = context->saved_data["window"].toInt(),
                                            .scale = context->saved_data["scale"].toDouble()},
                                           bits);
    if (keep.defined()) shape.keep = static_cast<std::uint64_t*>(keep.data_ptr());
    const AttentionPlan plan(saved[6], shape);
    const at::Tensor dq = at::empty(q.sizes(), q.options()), dk = at::empty(k.sizes(), k.options());
    const at::Tensor dv = at::empty(v.sizes(), v.options());
    at::Tensor bias_grads;
    if (bias.defined() && context->needs_input_grad(3)) {
      bias_grads = at::zeros({q.size(1), 2 * q.size(0)}, bias.options());
    }
    with_element_type(q.scalar_type(), [&]<class S>() {
      using T = compute_t<S>;
      AttentionBackward<S> x{const_head_rows<S>(q),
                             const_head_rows<S>(k),
                             const_head_rows<S>(v),
                             const_head_rows<S>(out),
                             const_head_rows<S>(grad),
                             logsumexp.const_data_ptr<T>(),
                             head_rows<S>(dq),
                             head_rows<S>(dk),
                             head_rows<S>(dv),
                             distance_bias_rows<T>(bias),
                             {}};
      if (bias_grads.defined()) x.dbias = {bias_grads.data_ptr<T>(), q.size(0)};
      const std::int64_t room = GRAFT_SIMD_CALL(S, attention_room<S>, plan.longest, shape.size);
      plan.run<S>(room, [&](const AttentionTask& task, compute_t<S>* room) {
        GRAFT_SIMD_CALL(S, attend_backward<S>, task, shape, x, room);
      });
    });
    at::Tensor dbias;
    if (bias_grads.defined()) dbias = sum_bias_grads(bias_grads, saved[6], bias.size(1));
    return {dq, dk, dv, dbias, {}, {}};
  }
};

}  // namespace detail

GRAFT_INLINE at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Offsets& offsets,
                                  const AttentionOptions& options, const at::Tensor& distance_bias) {
  detail::check_attention(q, k, v, offsets, options, distance_bias);
  if (detail::has_flash_attention(q) && !distance_bias.defined()) {
    return detail::flash_attention(detail::dense_heads(q), detail::dense_heads(k), detail::dense_heads(v), offsets,
                                   detail::scale_of(options, q), options.causal, options.window, options.dropout);
  }
  if (offsets.longest > 0) return detail::plain_padded_attention(q, k, v, offsets, options, distance_bias);
  if (!detail::has_kernel(q) || !k.device().is_cpu() || !v.device().is_cpu())
    return detail::plain_attention(q, k, v, offsets.ends, options, distance_bias);
  std::optional<at::Tensor> bias;
  if (distance_bias.defined())
    bias = distance_bias.to(q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).contiguous();
  return detail::AttentionFunction::apply(q, k, v, bias, offsets.ends, options);
}

}  // namespace graft
