#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// function(inputs) with nothing kept for backward but the inputs (activation checkpointing): when the gradient comes,
/// the function runs once more with the very draws of dropout that it had, its gradient is taken, and what it kept is
/// gone again. Gradients are bit for bit those of function(inputs) itself; time is one run more.
///
///     hidden = checkpointed([&layer](const at::Tensor& x) { return layer->forward(x); }, hidden);
///
/// What the function trains beside the inputs (the parameters of a layer or of its adapters) is found by itself, and
/// may be trained where no input is. Such tensors must be leaves: not computed from others that are trained. Where
/// neither inputs nor anything else needs a gradient, or gradients are off, this is a plain call. `function` must give
/// the same twice: it may draw from LibTorch's default generators, but mode, parameters and chosen adapters stay until
/// backward. It is called again on the thread that runs backward(): what it refers to must live until then.
/// Differentiable once. A parameter that was written to in between is an error of LibTorch's. Source: Chen et al.,
/// Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
at::Tensor checkpointed(const std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>& function,
                        const std::vector<at::Tensor>& inputs);

/// The same of one input.
at::Tensor checkpointed(const std::function<at::Tensor(const at::Tensor& input)>& function, const at::Tensor& input);

namespace detail {

/// The leaves that the graph of `result` ends in, in the order it meets them, but for `known`.
std::vector<at::Tensor> trained_leaves(const at::Tensor& result, const std::vector<at::Tensor>& known);

/// `tensor` without its history, requiring a gradient if it does.
at::Tensor without_history(const at::Tensor& tensor);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/ops/activation_checkpoint-inl.hpp"
#endif
