#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"
#include "graft/io/safetensors.hpp"
#include "graft/tensor/dtype.hpp"

namespace graft {

/// Tensors by name, in order. The tensors are handles: a change to one is a change to the module's.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Every parameter and every buffer of a module, named by its path: "encoder.layer.0.attention.self.query.weight".
NamedTensors named_tensors(const torch::nn::Module& module);

/// How names of a module and names of a file meet. Left empty, they must be the same set.
struct LoadOptions {
  /// The file's name for a tensor of the module.
  std::function<std::string(const std::string& name)> name_in_file = {};

  /// True for a tensor of the module that may lack in the file: it keeps its value and is reported.
  std::function<bool(const std::string& name)> may_lack = {};

  /// True for a name of the file that the module may leave unread: it is reported.
  std::function<bool(const std::string& name_in_file)> may_ignore = {};
};

/// What load_tensors() did.
struct LoadReport {
  std::vector<std::string> loaded;   ///< names of the module
  std::vector<std::string> lacking;  ///< names of the module that kept their values, as may_lack allowed
  std::vector<std::string> ignored;  ///< names of the file that were left unread, as may_ignore allowed
};

/// Where tensors come from: SafetensorsFile, ModelDir.
template <class Source>
concept TensorSource = requires(const Source& source, const TensorInfo& info, std::span<std::byte> bytes) {
  { *source.tensors().begin() } -> std::convertible_to<const TensorInfo&>;
  source.read(info, bytes);
};

/// Copies tensors of `source` into `targets`, each in its own type and on its own device (see convertible()).
///
/// Throws FormatError if a name lacks, is left over, has another shape or a type that does not convert: every such name
/// is listed, none is changed. A read that fails changes none either: all is read before the first is written, so that
/// loading takes the source's size in memory once more.
template <TensorSource Source>
LoadReport load_tensors(const NamedTensors& targets, const Source& source, const LoadOptions& options = {});

/// The same for every parameter and buffer of a module.
template <TensorSource Source>
LoadReport load_state(torch::nn::Module& module, const Source& source, const LoadOptions& options = {}) {
  return load_tensors(named_tensors(module), source, options);
}

/// Writes tensors as they are, whatever their device; the file appears whole or not at all. Tensors that share storage
/// are written one by one. Throws OptionError for a type that files cannot hold or a name given twice.
void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                  const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

namespace detail {

/// At most `limit` names a line, so that a wrong file does not flood a log.
void list_faults(std::string& text, std::string_view title, const std::vector<std::string>& names);

std::span<std::byte> bytes_of(const torch::Tensor& tensor);

}  // namespace detail

template <TensorSource Source>
LoadReport load_tensors(const NamedTensors& targets, const Source& source, const LoadOptions& options) {
  std::map<std::string, const TensorInfo*, std::less<>> stored;
  for (const TensorInfo& info : source.tensors()) stored.emplace(info.name, &info);

  LoadReport report;
  std::vector<std::pair<torch::Tensor, const TensorInfo*>> plan;
  std::vector<std::string> lacking, misshapen, mistyped, left_over;
  std::set<std::string_view> used;
  for (const auto& [name, target] : targets) {
    const std::string key = options.name_in_file ? options.name_in_file(name) : name;
    const auto found = stored.find(key);
    const std::string shown = key == name ? quoted(name) : message(quoted(name), " (", quoted(key), ")");
    if (found == stored.end()) {
      if (options.may_lack && options.may_lack(name)) {
        report.lacking.push_back(name);
      } else {
        lacking.push_back(shown);
      }
      continue;
    }
    const TensorInfo& info = *found->second;
    used.insert(found->first);
    const auto type = find_scalar_type(info.type);
    if (target.sizes() != torch::IntArrayRef(info.shape)) {
      misshapen.push_back(message(shown, " is ", torch::IntArrayRef(info.shape), ", not ", target.sizes()));
    } else if (!type || !convertible(*type, target.scalar_type())) {
      mistyped.push_back(message(shown, " is ", element_type_name(info.type), ", which does not convert to ",
                                 c10::toString(target.scalar_type())));
    } else {
      plan.emplace_back(target, &info);
      report.loaded.push_back(name);
    }
  }
  for (const auto& [key, info] : stored) {
    if (used.count(key)) continue;
    if (options.may_ignore && options.may_ignore(key)) {
      report.ignored.push_back(key);
    } else {
      left_over.push_back(quoted(key));
    }
  }
  if (!lacking.empty() || !misshapen.empty() || !mistyped.empty() || !left_over.empty()) {
    std::string text = message(source.path().string(),
                               ": its tensors are not those of the module; nothing was loaded. "
                               "Check that file and module are of one model");
    detail::list_faults(text, "missing in the file", lacking);
    detail::list_faults(text, "not in the module", left_over);
    detail::list_faults(text, "of another shape", misshapen);
    detail::list_faults(text, "of another type", mistyped);
    throw FormatError(text);
  }

  std::vector<torch::Tensor> read;
  for (const auto& [target, info] : plan) {
    read.push_back(torch::empty(info->shape, *find_scalar_type(info->type)));
    source.read(*info, detail::bytes_of(read.back()));
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    plan[i].first.copy_(read[i]);
    read[i] = torch::Tensor();
  }
  return report;
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/state-inl.hpp"
#endif
