#pragma once

#include <map>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/training/optimizer.hpp"

namespace graft::detail {

/// What training changes in a module: its trained parameters and its buffers.
inline NamedTensors changing_tensors(const torch::nn::Module& module) {
  NamedTensors tensors = trained_parameters(module);
  for (const auto& buffer : module.named_buffers())
    if (buffer.value().defined()) tensors.emplace_back(buffer.key(), buffer.value());
  return tensors;
}

inline NamedTensors copies_of(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().clone());
  return copies;
}

/// What keeps `given` from being copied into `own` by name, one fault each.
inline std::vector<std::string> misfits(const NamedTensors& own, const NamedTensors& given) {
  std::map<std::string, torch::Tensor> left(given.begin(), given.end());
  std::vector<std::string> faults;
  for (const auto& [name, tensor] : own) {
    const auto found = left.find(name);
    if (found == left.end()) {
      faults.push_back("lacks " + quoted(name));
      continue;
    }
    const torch::Tensor& other = found->second;
    if (other.sizes() != tensor.sizes() || other.scalar_type() != tensor.scalar_type())
      faults.push_back(message("holds ", quoted(name), " as ", other.dtype(), " ", other.sizes(), " where ",
                               tensor.dtype(), " ", tensor.sizes(), " is needed"));
    left.erase(found);
  }
  for (const auto& [name, tensor] : left) faults.push_back("holds " + quoted(name) + ", not trained here");
  return faults;
}

/// Each fault as "; `who` `fault`".
inline std::string listed(const char* who, const std::vector<std::string>& faults) {
  std::string text;
  for (const std::string& fault : faults) text += message("; ", who, " ", fault);
  return text;
}

/// Throws unless an optimizer's state fits.
inline void require_fit(const std::vector<std::string>& faults) {
  if (!faults.empty()) throw FormatError("the state is of another optimizer" + listed("it", faults));
}

inline void copy_by_name(const NamedTensors& from, const NamedTensors& to) {
  const torch::NoGradGuard no_grad;
  const std::map<std::string, torch::Tensor> given(from.begin(), from.end());
  for (const auto& [name, tensor] : to) tensor.copy_(given.at(name));
}

}  // namespace graft::detail
