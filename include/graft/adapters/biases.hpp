#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torch/nn/module.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/adapter_dir.hpp"

namespace graft {

/// Makes biases require gradients, beside what does already: all of the model's, or those of the layers that carry
/// `adapter`. They are the base's own: training them changes what the base computes without the adapter too, as in
/// PEFT. save_adapter() writes them. Returns their names. Throws OptionError for lora_only without such an adapter.
std::vector<std::string> train_biases(torch::nn::Module& module, AdapterBias which,
                                      const std::string& adapter = "default");

/// Freezes a model but for its biases and heads; without heads given, those that attach() would take. Returns the names
/// of what is trained. Source: Ben Zaken et al., BitFit, arXiv:2106.10199.
std::vector<std::string> train_only_biases(torch::nn::Module& module, const std::vector<std::string>& heads = {
                                                                          "classifier", "score", "qa_outputs"});

namespace detail {

inline bool is_bias(std::string_view name) { return name == "bias" || name.ends_with(".bias"); }

/// The biases of a model that are no adapter's, by name.
NamedTensors biases(torch::nn::Module& module);

}  // namespace detail

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/biases-inl.hpp"
#endif
