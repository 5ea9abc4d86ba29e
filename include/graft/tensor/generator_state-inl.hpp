#pragma once

#include <mutex>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "graft/tensor/generator_state.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE std::vector<at::Generator> default_generators() {
  std::vector<at::Generator> all{at::detail::getDefaultCPUGenerator()};
  if (at::globalContext().hasCUDA()) all.push_back(at::globalContext().defaultGenerator(at::kCUDA));
  return all;
}

}  // namespace detail

GRAFT_INLINE GeneratorState GeneratorState::now() {
  GeneratorState state;
  for (at::Generator& generator : detail::default_generators()) {
    const std::lock_guard lock(generator.mutex());
    state.states_.push_back(generator.get_state());
  }
  return state;
}

GRAFT_INLINE void GeneratorState::restore() const {
  std::vector<at::Generator> all = detail::default_generators();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::lock_guard lock(all[i].mutex());
    all[i].set_state(states_[i]);
  }
}

}  // namespace graft
