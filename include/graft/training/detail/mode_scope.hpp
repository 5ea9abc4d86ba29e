#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

namespace graft::detail {

/// Remembers which modules are in training mode, and puts them back.
class ModeScope {
 public:
  explicit ModeScope(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
    for (const auto& part : module.modules(/*include_self=*/false)) parts_.emplace_back(part, part->is_training());
  }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;
  ~ModeScope() {
    // A module's train() also sets what is inside it, and what is inside comes later here.
    if (module_.is_training() != training_) module_.train(training_);
    for (const auto& [part, training] : parts_) {
      if (part->is_training() != training) part->train(training);
    }
  }

 private:
  torch::nn::Module& module_;
  bool training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> parts_;
};

}  // namespace graft::detail
