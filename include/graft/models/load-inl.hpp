#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include "graft/models/load.hpp"
#include "graft/tensor/meta.hpp"

namespace graft::detail {

GRAFT_INLINE std::vector<std::byte> content(const TensorSource& files, std::string_view name) {
  const TensorInfo& info = *std::ranges::find(files.tensors(), name, &TensorInfo::name);
  std::vector<std::byte> bytes(info.bytes());
  files.read(info, bytes);
  return bytes;
}

/// Which name of the files stands for which tensor of a model.
///
/// Both sides are brought to one form: without the base's name, with the norms' new names. The first part of what is
/// left tells the heads ("classifier", ...) from the base ("embeddings", "encoder").
class CheckpointNames {
 public:
  CheckpointNames(const TensorSource& files, const NamedTensors& model, const WeightNames& names)
      : names_(names), prefix_(names.base.empty() ? "" : names.base + ".") {
    std::string twice;
    for (const TensorInfo& info : files.tensors()) {
      const auto [at, is_new] = in_files_.emplace(common(info.name), info.name);
      if (!is_new) twice += message("\n  ", quoted(at->second), " and ", quoted(info.name));
    }
    if (!twice.empty())
      throw FormatError(
          message(files.path().string(), ": tensors that mean the same weight; take one of each pair out", twice));
    for (const auto& [name, tensor] : model) in_model_.insert(common(name));
    for (const auto& [copy, original] : names.tied) {
      const auto found = in_files_.find(copy);
      if (found == in_files_.end()) continue;
      if (!in_files_.emplace(original, found->second).second)
        copies_.emplace_back(copy, original);
      else
        in_files_.erase(copy);
    }
  }

  LoadOptions rules() const {
    return {.name_in_file =
                [this](const std::string& name) {
                  const auto found = in_files_.find(common(name));
                  return found == in_files_.end() ? name : found->second;
                },
            .may_lack = [this](const std::string& name) { return may_lack(common(name)); },
            .may_ignore = [this](const std::string& name_in_file) { return may_ignore(common(name_in_file)); }};
  }

  /// Throws FormatError if a copy of a weight that the model ties differs from its original.
  void check_tied_copies(const TensorSource& files) const {
    for (const auto& [copy, original] : copies_) {
      if (!model_has(head_of(copy))) continue;
      const std::string &copy_name = in_files_.at(copy), &original_name = in_files_.at(original);
      if (content(files, copy_name) != content(files, original_name))
        throw FormatError(message(files.path().string(), ": ", quoted(copy_name), " differs from ",
                                  quoted(original_name),
                                  ", to which the model ties it; untied weights are not supported"));
    }
  }

 private:
  std::string common(std::string name) const {
    if (name.starts_with(prefix_)) name.erase(0, prefix_.size());
    for (const auto& [old_name, new_name] :
         {std::pair{"LayerNorm.gamma", "LayerNorm.weight"}, std::pair{"LayerNorm.beta", "LayerNorm.bias"}}) {
      if (name.ends_with(old_name))
        name.replace(name.size() - std::string_view(old_name).size(), std::string::npos, new_name);
    }
    return name;
  }

  static bool is_below(std::string_view name, std::string_view head) {
    return name.size() > head.size() && name.starts_with(head) && name[head.size()] == '.';
  }

  /// The head that a tensor of this common form belongs to; empty if it is the base's.
  std::string_view head_of(std::string_view name) const {
    const auto found =
        std::ranges::find_if(names_.heads, [&](const std::string& head) { return is_below(name, head); });
    return found == names_.heads.end() ? std::string_view() : *found;
  }
  bool files_have(std::string_view head) const {
    return std::ranges::any_of(in_files_, [&](const auto& entry) { return is_below(entry.first, head); });
  }
  bool model_has(std::string_view head) const {
    return std::ranges::any_of(in_model_, [&](const std::string& name) { return is_below(name, head); });
  }

  bool may_lack(std::string_view name) const {
    const std::string_view head = head_of(name);
    return !head.empty() && !files_have(head);
  }
  bool may_ignore(std::string_view name) const {
    if (names_.is_buffer(name)) return true;
    if (std::ranges::any_of(copies_, [&](const auto& tie) { return tie.first == name; })) return true;
    const std::string_view head = head_of(name);
    return !head.empty() && !model_has(head);
  }

  const WeightNames& names_;
  std::string prefix_;
  std::map<std::string, std::string, std::less<>> in_files_;  // common form -> name in the files
  std::set<std::string, std::less<>> in_model_;               // common forms
  std::vector<std::pair<std::string, std::string>> copies_;
};

/// `files`, which must outlive it, with the matrices that they hold as [in, out] given as [out, in].
GRAFT_INLINE TensorSource turned(const TensorSource& files, const WeightNames& names) {
  std::vector<TensorInfo> tensors = files.tensors();
  const auto turns = [names](const TensorInfo& tensor) {
    return tensor.shape.size() == 2 && names.is_transposed(tensor.name);
  };
  for (TensorInfo& tensor : tensors)
    if (turns(tensor)) std::swap(tensor.shape[0], tensor.shape[1]);
  return {files.path(), std::move(tensors), [&files, turns](const TensorInfo& tensor, std::span<std::byte> bytes) {
            if (!turns(tensor) || bytes.empty()) return files.read(tensor, bytes);
            std::vector<std::byte> stored(bytes.size());
            files.read(tensor, stored);
            const auto rows = static_cast<std::size_t>(tensor.shape[0]);
            const auto columns = static_cast<std::size_t>(tensor.shape[1]), size = bytes.size() / rows / columns;
            for (std::size_t i = 0; i < rows; ++i)
              for (std::size_t j = 0; j < columns; ++j)
                std::memcpy(bytes.data() + (i * columns + j) * size, stored.data() + (j * rows + i) * size, size);
          }};
}

/// The weights [out, in] that products read get `type`.
GRAFT_INLINE void set_linear_type(const MadeModel& model, at::ScalarType type) {
  const auto convert = [&](at::Tensor weight) { weight.set_data(weight.to(type)); };
  for (const auto& module : model.module->modules(/*include_self=*/false))
    if (const auto* layer = module->as<torch::nn::LinearImpl>()) convert(layer->weight);
  if (model.tied_weight.defined()) convert(model.tied_weight);
}

GRAFT_INLINE LoadReport load_weights(const TensorSource& files, const WeightNames& names,
                                     const PretrainedOptions& options, const std::function<MadeModel()>& make) {
  const at::ScalarType linear_type = options.linear_dtype.value_or(options.dtype);
  if (linear_type != options.dtype && (linear_type != at::kBFloat16 || options.dtype != at::kFloat))
    throw OptionError(message("linear_dtype is ", c10::toString(linear_type), " in a model of ",
                              c10::toString(options.dtype),
                              "; choose bfloat16 in a model of float32, or leave it out"));
  const auto made = [&] {
    const MadeModel model = make();
    model.module->to(options.dtype);
    if (linear_type != options.dtype) set_linear_type(model, linear_type);
    return model.module;
  };
  torch::nn::Module* model = [&] {
    const MetaScope no_memory;
    return made();
  }();
  const NamedTensors expected = named_tensors(*model);
  const TensorSource source = turned(files, names);
  const CheckpointNames in_files(source, expected, names);
  const LoadReport plan = plan_load(expected, source, in_files.rules());
  in_files.check_tied_copies(source);

  if (plan.lacking.empty()) {
    give_memory(*model, options.device);
  } else {
    model = made();  // draws what is not loaded
    model->to(options.device);
  }
  model->eval();
  return fill_tensors(named_tensors(*model), source, in_files.rules());
}

}  // namespace graft::detail
