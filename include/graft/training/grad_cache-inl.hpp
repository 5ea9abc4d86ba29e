#pragma once

#include <utility>
#include <vector>

#include <torch/autograd.h>

#include "graft/core/error.hpp"
#include "graft/tensor/generator_state.hpp"
#include "graft/training/grad_cache.hpp"

namespace graft {

namespace detail {

/// What a cached batch needs to be computed once more.
struct CachedBatch : torch::CustomClassHolder {
  std::function<torch::Tensor(std::int64_t)> forward;
  std::vector<GeneratorState> states;  // before each part
  std::vector<std::int64_t> sizes;
};

class GradCacheFunction : public torch::autograd::Function<GradCacheFunction> {
 public:
  /// `trained` only says that something behind the vectors is.
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& trained,
                               const c10::intrusive_ptr<CachedBatch>& batch, std::int64_t parts) {
    (void)trained;
    std::vector<torch::Tensor> vectors;
    for (std::int64_t part = 0; part < parts; ++part) {
      batch->states.push_back(GeneratorState::now());
      vectors.push_back(batch->forward(part).detach());
      if (vectors.back().dim() != 2)
        throw ShapeError(
            message("part ", part, " of a cached batch gave ", vectors.back().sizes(), "; vectors [n, D] are wanted"));
      batch->sizes.push_back(vectors.back().size(0));
    }
    context->saved_data["batch"] = c10::IValue::make_capsule(batch);
    return torch::cat(vectors);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto batch = c10::static_intrusive_pointer_cast<CachedBatch>(context->saved_data["batch"].toCapsule());
    const GeneratorState after = GeneratorState::now();
    const torch::AutoGradMode with_graph(true);
    std::int64_t begin = 0;
    for (std::size_t part = 0; part < batch->sizes.size(); ++part) {
      batch->states[part].restore();
      const torch::Tensor vectors = batch->forward(static_cast<std::int64_t>(part));
      const torch::Tensor gradient = gradients[0].narrow(0, begin, batch->sizes[part]);
      if (vectors.requires_grad()) torch::autograd::backward({vectors}, {gradient});
      begin += batch->sizes[part];
    }
    after.restore();
    return {{}, {}, {}};
  }
};

}  // namespace detail

GRAFT_INLINE torch::Tensor grad_cached(std::int64_t parts,
                                       const std::function<torch::Tensor(std::int64_t part)>& forward) {
  if (parts < 1) throw OptionError(message("a cached batch has ", parts, " parts; it needs at least one"));
  const auto batch = c10::make_intrusive<detail::CachedBatch>();
  batch->forward = forward;
  return detail::GradCacheFunction::apply(torch::zeros({}).requires_grad_(), batch, parts);
}

}  // namespace graft
