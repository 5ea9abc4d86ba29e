#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include "graft/ops/activation_checkpoint.hpp"
#include "graft/ops/detail/autograd.hpp"
#include "graft/tensor/generator_state.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE std::vector<at::Tensor> trained_leaves(const at::Tensor& result, const std::vector<at::Tensor>& known) {
  std::unordered_set<const c10::TensorImpl*> known_tensors;
  for (const at::Tensor& tensor : known) known_tensors.insert(tensor.unsafeGetTensorImpl());
  std::vector<at::Tensor> leaves;
  std::unordered_set<const torch::autograd::Node*> seen;
  std::vector<torch::autograd::Node*> next;
  const auto meet = [&](torch::autograd::Node* node) {
    if (node != nullptr && seen.insert(node).second) next.push_back(node);
  };
  if (result.requires_grad()) meet(torch::autograd::impl::gradient_edge(result).function.get());
  while (!next.empty()) {
    torch::autograd::Node* node = next.back();
    next.pop_back();
    if (const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(node)) {
      if (known_tensors.count(leaf->variable.unsafeGetTensorImpl()) == 0) leaves.push_back(leaf->variable);
      continue;
    }
    for (const torch::autograd::Edge& edge : node->next_edges()) meet(edge.function.get());
  }
  return leaves;
}

GRAFT_INLINE at::Tensor without_history(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.detach().requires_grad_(tensor.requires_grad()) : tensor;
}

GRAFT_INLINE std::vector<at::Tensor> without_history(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> own;
  for (const at::Tensor& tensor : tensors) own.push_back(without_history(tensor));
  return own;
}

/// Gradients come in the order of the inputs, then of what else is trained.
class CheckpointBackward : public torch::autograd::Node {
 public:
  GRAFT_INLINE torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override;

  void release_variables() override {
    for (auto* list : {&inputs, &leaves}) {
      for (torch::autograd::SavedVariable& saved : *list) saved.reset_data();
    }
    function = nullptr;
  }

  std::string name() const override { return "graft::CheckpointBackward"; }

  std::function<at::Tensor(const std::vector<at::Tensor>&)> function;
  std::vector<torch::autograd::SavedVariable> inputs, leaves;
  GeneratorState before;
};

GRAFT_INLINE torch::autograd::variable_list CheckpointBackward::apply(torch::autograd::variable_list&& grads) {
  refuse_second_derivative("activation checkpointing");
  torch::autograd::variable_list out(inputs.size() + leaves.size());
  if (!grads[0].defined()) return out;
  std::vector<at::Tensor> own, sought;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool is_input = i < inputs.size();
    at::Tensor tensor = is_input ? inputs[i].unpack() : leaves[i - inputs.size()].unpack();
    if (is_input) own.push_back(tensor = without_history(tensor));
    if (!tensor.defined() || !tensor.requires_grad()) continue;
    sought.push_back(tensor);
    places.push_back(i);
  }
  torch::autograd::variable_list gradients;
  {
    const GeneratorScope draws(before);
    const at::AutoGradMode with_graph(true);
    gradients = torch::autograd::grad({function(own)}, sought, {grads[0]}, /*retain_graph=*/false,
                                      /*create_graph=*/false, /*allow_unused=*/true);
  }
  for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = gradients[i];
  return out;
}

}  // namespace detail

GRAFT_INLINE at::Tensor checkpointed(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& function,
                                     const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return function(inputs);
  const GeneratorState before = GeneratorState::now();
  at::Tensor result;
  std::vector<at::Tensor> leaves;
  {
    const std::vector<at::Tensor> own = detail::without_history(inputs);
    const at::Tensor with_graph = function(own);
    if (!with_graph.requires_grad()) return with_graph;
    leaves = detail::trained_leaves(with_graph, own);
    result = with_graph.detach();
  }
  const auto node =
      std::shared_ptr<detail::CheckpointBackward>(new detail::CheckpointBackward(), torch::autograd::deleteNode);
  node->function = function;
  node->before = before;
  std::vector<at::Tensor> all = inputs;
  all.insert(all.end(), leaves.begin(), leaves.end());
  node->set_next_edges(torch::autograd::collect_next_edges(all));
  for (const at::Tensor& input : inputs) node->inputs.emplace_back(input, false);
  for (const at::Tensor& leaf : leaves) node->leaves.emplace_back(leaf, false);
  torch::autograd::set_history(result, node);
  return result;
}

GRAFT_INLINE at::Tensor checkpointed(const std::function<at::Tensor(const at::Tensor&)>& function,
                                     const at::Tensor& input) {
  return checkpointed([function](const std::vector<at::Tensor>& inputs) { return function(inputs[0]); },
                      std::vector<at::Tensor>{input});
}

}  // namespace graft
