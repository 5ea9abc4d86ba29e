#pragma once

#include <cstdint>
#include <functional>

#include <torch/types.h>

#include "graft/core/mode.hpp"

namespace graft {

/// The vectors of a batch whose graph does not fit in memory, in parts: forward(0) ... forward(parts - 1), [n, D] each,
/// laid end to end, [N, D]. Only the vectors are kept. When the gradient of a loss on them comes, each part is computed
/// once more, with the very same draws of dropout, and its graph is gone before the next: memory is that of one part,
/// gradients are those of the whole batch, and time is one forward pass more.
///
///     const torch::Tensor questions = grad_cached(parts, [&](std::int64_t i) { return encoder(batch.questions[i]); });
///
/// `forward` must give the same twice. It draws from LibTorch's default generators, and is called again on the thread
/// that runs backward(): what it refers to must live until then.
/// Source: Gao et al., GradCache, arXiv:2101.06983. Throws OptionError unless `parts` >= 1, ShapeError for a part that
/// is not [n, D], and what `forward` throws.
torch::Tensor grad_cached(std::int64_t parts, const std::function<torch::Tensor(std::int64_t part)>& forward);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/grad_cache-inl.hpp"
#endif
