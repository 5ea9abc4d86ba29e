#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/tensor/state.hpp"

namespace graft::detail {

/// The names, types and shapes of a source without its data: what would fit is found before memory is spent.
template <TensorSource Source>
class HeadersOnly {
 public:
  explicit HeadersOnly(const Source& source) : source_(source) {}
  decltype(auto) path() const { return source_.path(); }
  decltype(auto) tensors() const { return source_.tensors(); }
  void read(const TensorInfo&, std::span<std::byte>) const {}

 private:
  const Source& source_;
};

/// Which name of the files stands for which tensor of a model.
///
/// Both sides are brought to one form: without the encoder's prefix ("bert."), with the norms' new names. The first
/// part of what is left tells the heads ("classifier", ...) from the encoder ("embeddings", "encoder").
class CheckpointNames {
 public:
  template <TensorSource Source, class Config>
  CheckpointNames(const Source& source, const NamedTensors& model, const Config& config)
      : prefix_(config.base_name() + "."), heads_(config.head_names()), is_buffer_(&Config::is_buffer) {
    std::string twice;
    for (const TensorInfo& info : source.tensors()) {
      const auto [at, is_new] = in_files_.emplace(common(info.name), info.name);
      if (!is_new) twice += message("\n  ", quoted(at->second), " and ", quoted(info.name));
    }
    if (!twice.empty())
      throw FormatError(
          message(source.path().string(), ": tensors that mean the same weight; take one of each pair out", twice));
    for (const auto& [name, tensor] : model) in_model_.insert(common(name));
    for (const auto& [copy, original] : config.tied_names()) {
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
  template <TensorSource Source>
  void check_tied_copies(const Source& source) const {
    for (const auto& [copy, original] : copies_) {
      if (!model_has(head_of(copy))) continue;
      const std::string &copy_name = in_files_.at(copy), &original_name = in_files_.at(original);
      if (!std::ranges::equal(content(source, copy_name), content(source, original_name)))
        throw FormatError(message(source.path().string(), ": ", quoted(copy_name), " differs from ",
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

  /// The head that a tensor of this common form belongs to; empty if it is the encoder's.
  std::string_view head_of(std::string_view name) const {
    const auto found = std::ranges::find_if(heads_, [&](const std::string& head) { return is_below(name, head); });
    return found == heads_.end() ? std::string_view() : *found;
  }

  static bool is_below(std::string_view name, std::string_view head) {
    return name.size() > head.size() && name.starts_with(head) && name[head.size()] == '.';
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
    if (is_buffer_(name)) return true;
    if (std::ranges::any_of(copies_, [&](const auto& tie) { return tie.first == name; })) return true;
    const std::string_view head = head_of(name);
    return !head.empty() && !model_has(head);
  }

  template <class Source>
  static std::vector<std::byte> content(const Source& source, const std::string& name) {
    const TensorInfo& info = *source.find(name);
    std::vector<std::byte> bytes(info.bytes());
    source.read(info, bytes);
    return bytes;
  }

  std::string prefix_;
  std::vector<std::string> heads_;
  bool (*is_buffer_)(std::string_view name);
  std::map<std::string, std::string, std::less<>> in_files_;  // common form -> name in the files
  std::set<std::string, std::less<>> in_model_;               // common forms
  std::vector<std::pair<std::string, std::string>> copies_;
};

}  // namespace graft::detail
