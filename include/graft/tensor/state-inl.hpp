#pragma once

#include <algorithm>
#include <set>

#include <torch/types.h>

#include "graft/core/error.hpp"
#include "graft/tensor/state.hpp"

namespace graft {
namespace detail {

GRAFT_INLINE void list_faults(std::string& text, std::string_view title, const std::vector<std::string>& names) {
  constexpr std::size_t limit = 100;
  if (names.empty()) return;
  text += message("\n  ", title, " (", names.size(), "):");
  for (std::size_t i = 0; i < std::min(names.size(), limit); ++i) text += message(i ? ", " : " ", names[i]);
  if (names.size() > limit) text += message(" and ", names.size() - limit, " more");
}

GRAFT_INLINE std::span<std::byte> bytes_of(const torch::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

/// Which tensor of the source is for which target.
struct LoadPlan {
  std::vector<std::pair<torch::Tensor, const TensorInfo*>> reads;
  LoadReport report;
};

GRAFT_INLINE LoadPlan match_tensors(const NamedTensors& targets, const TensorSource& source,
                                    const LoadOptions& options) {
  std::map<std::string_view, const TensorInfo*> stored;
  for (const TensorInfo& info : source.tensors()) stored.emplace(info.name, &info);

  LoadPlan plan;
  std::vector<std::string> lacking, misshapen, mistyped, left_over;
  std::set<std::string_view> used;
  for (const auto& [name, target] : targets) {
    const std::string key = options.name_in_file ? options.name_in_file(name) : name;
    const auto found = stored.find(key);
    const std::string shown = key == name ? quoted(name) : message(quoted(name), " (", quoted(key), ")");
    if (found == stored.end()) {
      const bool allowed = options.may_lack && options.may_lack(name);
      (allowed ? plan.report.lacking : lacking).push_back(allowed ? name : shown);
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
      plan.reads.emplace_back(target, &info);
      plan.report.loaded.push_back(name);
    }
  }
  for (const auto& [key, info] : stored) {
    if (used.count(key)) continue;
    const bool allowed = options.may_ignore && options.may_ignore(info->name);
    (allowed ? plan.report.ignored : left_over).push_back(allowed ? info->name : quoted(key));
  }
  if (lacking.empty() && misshapen.empty() && mistyped.empty() && left_over.empty()) return plan;
  std::string text = message(source.path().string(),
                             ": its tensors are not those of the module; nothing was loaded. "
                             "Check that file and module are of one model");
  list_faults(text, "missing in the file", lacking);
  list_faults(text, "not in the module", left_over);
  list_faults(text, "of another shape", misshapen);
  list_faults(text, "of another type", mistyped);
  throw FormatError(text);
}

GRAFT_INLINE LoadReport fill_tensors(const NamedTensors& targets, const TensorSource& source,
                                     const LoadOptions& options) {
  LoadPlan plan = match_tensors(targets, source, options);
  const torch::NoGradGuard no_grad;
  for (auto& [target, info] : plan.reads) {
    const at::ScalarType type = *find_scalar_type(info->type);
    if (target.is_cpu() && target.is_contiguous() && target.scalar_type() == type) {
      source.read(*info, bytes_of(target));
    } else {
      const torch::Tensor read = torch::empty(info->shape, type);
      source.read(*info, bytes_of(read));
      target.copy_(read);
    }
  }
  return std::move(plan.report);
}

GRAFT_INLINE LoadReport plan_load(const NamedTensors& targets, const TensorSource& source, const LoadOptions& options) {
  return match_tensors(targets, source, options).report;
}

}  // namespace detail

GRAFT_INLINE NamedTensors named_tensors(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& parameter : module.named_parameters()) tensors.emplace_back(parameter.key(), parameter.value());
  for (const auto& buffer : module.named_buffers()) tensors.emplace_back(buffer.key(), buffer.value());
  return tensors;
}

GRAFT_INLINE LoadReport load_tensors(const NamedTensors& targets, const TensorSource& source,
                                     const LoadOptions& options) {
  detail::LoadPlan plan = detail::match_tensors(targets, source, options);
  std::vector<torch::Tensor> read;
  for (const auto& [target, info] : plan.reads) {
    read.push_back(torch::empty(info->shape, *find_scalar_type(info->type)));
    source.read(*info, detail::bytes_of(read.back()));
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < read.size(); ++i) {
    plan.reads[i].first.copy_(read[i]);
    read[i] = torch::Tensor();
  }
  return std::move(plan.report);
}

GRAFT_INLINE LoadReport load_state(torch::nn::Module& module, const TensorSource& source, const LoadOptions& options) {
  return load_tensors(named_tensors(module), source, options);
}

GRAFT_INLINE void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                               const std::map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) {
    infos.push_back({name, element_type(tensor.scalar_type()), tensor.sizes().vec(), 0, 0});
  }
  torch::Tensor kept;  // alive until the next call, as write_safetensors asks
  write_safetensors(path, infos, metadata, [&](std::size_t i) -> std::span<const std::byte> {
    kept = tensors[i].second.detach().to(torch::kCPU).contiguous();
    return detail::bytes_of(kept);
  });
}

}  // namespace graft
