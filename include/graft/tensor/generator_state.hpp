#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "graft/core/mode.hpp"

namespace graft {

/// Where LibTorch's default generators stand, that of the CPU and that of the current CUDA device: what is computed
/// from here once more draws the very numbers it drew. graft's dropout draws its keys from the CPU's. Threads: others
/// that draw meanwhile draw from the same generators.
class GeneratorState {
 public:
  static GeneratorState now();
  void restore() const;

 private:
  std::vector<at::Tensor> states_;
};

/// Puts the generators back to a state, and at its end to where they stood when it began.
class GeneratorScope {
 public:
  explicit GeneratorScope(const GeneratorState& state) : after_(GeneratorState::now()) { state.restore(); }
  ~GeneratorScope() { after_.restore(); }
  GeneratorScope(const GeneratorScope&) = delete;
  GeneratorScope& operator=(const GeneratorScope&) = delete;

 private:
  GeneratorState after_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/generator_state-inl.hpp"
#endif
