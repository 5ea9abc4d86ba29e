#pragma once

#include <cstddef>
#include <functional>
#include <limits>

#include "graft/core/mode.hpp"
#include "graft/training/loss.hpp"
#include "graft/training/optimizer.hpp"

namespace graft {

/// What the first half of a step leaves beside the gradients.
struct StepGradients {
  Loss loss = {};            ///< of all batches together, detached; its sum is undefined if nothing was judged
  GradientScale scale = {};  ///< of the gradients; undefined likewise
};

/// The first half of a training step: forgets the gradients there were, adds up those of `batches` losses, and measures
/// them. Nothing else changes, so that a guard may look before Optimizer::step(lr_multiplier, scale.divisor), which is
/// the second half.
/// Gradients of 16-bit parameters are added up in float32 where there are several batches, and left so.
/// `loss_of(i)` is asked for one loss after another; a loss without a sum is passed over. What lies on another device
/// than the CPU is not read. Throws as gradient_scale() does.
StepGradients make_gradients(Optimizer& optimizer, std::size_t batches, const std::function<Loss(std::size_t)>& loss_of,
                             double clip_norm = std::numeric_limits<double>::infinity());

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/step-inl.hpp"
#endif
