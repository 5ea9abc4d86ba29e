#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/mode.hpp"

namespace graft {

/// The heads of a model (PEFT's modules_to_save) as one adapter trained or loaded them. The model's own parameters are
/// those of one adapter at a time, or the base's; what is not in the model lies here. The first of an adapter's layers
/// keeps it (LayerAdapter::heads).
class HeadCopies {
 public:
  /// Of the parameters below `heads`, paths in `module`, as the base has them: what is in the model is put away, and
  /// these copies are in it from now on.
  HeadCopies(torch::nn::Module& module, const std::vector<std::string>& heads);

  /// A copy for a copy of the model, that shares no storage.
  std::shared_ptr<HeadCopies> copy(const std::optional<torch::Device>& device) const;

  /// The parameter at `path` as this adapter has it; undefined if it has none.
  torch::Tensor value(torch::nn::Module& module, const std::string& path) const;

  /// Whether both have the same heads with the same values.
  bool same(torch::nn::Module& module, const HeadCopies& other) const;

  /// Whether the model's parameters are these.
  bool in_model() const { return in_model_; }

  /// Puts these in the model, or with nullptr the base's.
  static void put(torch::nn::Module& module, HeadCopies* wanted);

  /// Those of the adapter called `name`; nullptr if it has no heads.
  static std::shared_ptr<HeadCopies> of(torch::nn::Module& module, const std::string& name);

 private:
  using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  struct Part {
    std::string path;
    WeakTensor parameter;  // none of a copied model
    torch::Tensor own;     // as it was when it was last in the model
    torch::Tensor base;    // shared by all that have this head
  };
  HeadCopies() = default;
  /// Of all adapters that have heads, by name.
  static std::vector<std::pair<std::string, std::shared_ptr<HeadCopies>>> named(torch::nn::Module& module);
  /// The parameter that `part` is of; nullptr if another model's part has its path here.
  static torch::Tensor* find(torch::OrderedDict<std::string, torch::Tensor>& parameters, const Part& part);

  std::vector<Part> parts_;
  bool in_model_ = false;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/head_copies-inl.hpp"
#endif
