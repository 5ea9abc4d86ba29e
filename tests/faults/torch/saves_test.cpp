// What is saved of tensors: with every system call failing once, the old is there or the new.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include <ATen/Parallel.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "faults/operation.hpp"
#include "graft/adapters/attach.hpp"
#include "graft/adapters/lora.hpp"
#include "graft/adapters/peft/merge_dir.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/output.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/tensor/state.hpp"
#include "graft/training/checkpoint.hpp"

namespace graft::faults {
namespace {

namespace fs = std::filesystem;

struct ModelImpl : torch::nn::Module {
  ModelImpl() { query = register_module("query", Linear(torch::nn::LinearOptions(3, 4))); }
  Linear query = nullptr;
};

/// The operations run in copies of this process, in which the threads of LibTorch are not.
class Saves : public testing::Test {
 protected:
  Saves() { at::set_num_threads(1); }
};

std::string told(const std::function<std::string()>& state) {
  try {
    return state();
  } catch (const std::exception& error) {
    return error.what();
  }
}

Checkpoint checkpoint(int step) {
  return {.state = {{"step", step}}, .tensors = {{"module", {{"w", torch::full({5}, step, torch::kFloat32)}}}}};
}

std::string checkpoint_state(const Checkpoint& found) {
  const int step = found.state.at("step");
  if (!found.tensors.at("module")[0].second.equal(torch::full({5}, step, torch::kFloat32))) return "a mix";
  return step == 1 ? "old" : "new";
}

TEST_F(Saves, ACheckpointIsTheOldOneOrTheNewOne) {
  const auto save = [](int step) {
    return [=](const fs::path& folder) { save_checkpoint(folder / "state", checkpoint(step)); };
  };
  try_every_fault({.prepare = save(1), .run = save(2), .state = [](const fs::path& folder) {
                     return told([&] { return checkpoint_state(load_checkpoint(folder / "state")); });
                   }});
}

// As the trainer does it: the next checkpoint, and then the one before is deleted.
TEST_F(Saves, TheNewestCheckpointIsTheOldOneOrTheNewOne) {
  try_every_fault({.prepare = [](const fs::path& folder) { save_checkpoint(folder / "step-000001", checkpoint(1)); },
                   .run =
                       [](const fs::path& folder) {
                         save_checkpoint(folder / "step-000002", checkpoint(2));
                         remove_checkpoint(folder / "step-000001");
                       },
                   .state =
                       [](const fs::path& folder) {
                         return told([&] {
                           const auto found = find_checkpoint(folder);
                           return found ? checkpoint_state(found->checkpoint) : std::string("nothing");
                         });
                       }});
}

/// A model whose adapter is all of `value`.
std::shared_ptr<ModelImpl> adapted(double value) {
  auto model = std::make_shared<ModelImpl>();
  const torch::NoGradGuard no_grad;
  model->query->weight.fill_(0.5);
  attach(*model, {.rank = 2, .alpha = 2.0}, {.layers = {"query"}});
  for (torch::Tensor& parameter : model->parameters())
    if (parameter.requires_grad()) parameter.fill_(value);
  return model;
}

TEST_F(Saves, AnAdapterIsTheOldOneOrTheNewOne) {
  const auto save = [](double value, bool replace) {
    return [=](const fs::path& folder) {
      save_adapter(folder / "adapter", *adapted(value), "default", {.replace = replace});
    };
  };
  try_every_fault({.prepare = save(1, false), .run = save(2, true), .state = [](const fs::path& folder) {
                     return told([&]() -> std::string {
                       const AdapterDir files(folder / "adapter");
                       std::string state;
                       for (const TensorInfo& info : files.tensors()) {
                         torch::Tensor tensor = torch::empty(info.shape);
                         files.read(info, detail::bytes_of(tensor));
                         state += tensor.eq(1).all().item<bool>() ? "o" : tensor.eq(2).all().item<bool>() ? "n" : "?";
                       }
                       return state == "oo" ? "old" : state == "nn" ? "new" : "a mix: " + state;
                     });
                   }});
}

TEST_F(Saves, AMergedModelIsTheOldOneOrTheNewOne) {
  const auto merge = [](const char* adapter, bool replace) {
    return [=](const fs::path& folder) {
      merge_dir(folder / "base", folder / adapter, folder / "merged", {.replace = replace});
    };
  };
  try_every_fault(
      {.prepare =
           [&](const fs::path& folder) {
             const torch::Tensor weight = torch::full({4, 3}, 0.5), bias = torch::zeros({4});
             const std::vector<TensorBytes> tensors = {
                 {"query.weight", ElementType::F32, {4, 3}, detail::bytes_of(weight)},
                 {"query.bias", ElementType::F32, {4}, detail::bytes_of(bias)}};
             write_model_dir(folder / "base", {{"model_type", "small"}}, tensors);
             save_adapter(folder / "one", *adapted(1));
             save_adapter(folder / "two", *adapted(2));
             merge("one", false)(folder);
           },
       .run = merge("two", true),
       .state =
           [](const fs::path& folder) {
             return told([&]() -> std::string {
               const ModelDir model(folder / "merged");
               torch::Tensor weight = torch::empty({4, 3});
               model.read(*model.find("query.weight"), detail::bytes_of(weight));
               // rank 2, alpha / r = 1: the update is 2 x value x value
               return weight.eq(2.5).all().item<bool>() ? "old" : weight.eq(8.5).all().item<bool>() ? "new" : "neither";
             });
           }});
}

}  // namespace
}  // namespace graft::faults
