#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "graft/core/error.hpp"
#include "graft/models/causal_family.hpp"

namespace graft::detail {

/// A GGUF file's name as Hugging Face has it; an unknown one as it is, so that it shows up as left over.
inline std::string name_of_gguf(std::string_view name, const CausalFamily& family) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return std::string(name);
  std::string_view stem = name.substr(0, dot);
  std::string prefix;
  if (stem.starts_with("blk.")) {
    stem.remove_prefix(4);
    const std::string_view number = stem.substr(0, stem.find('.'));
    stem.remove_prefix(std::min(stem.size(), number.size() + 1));
    prefix = message(family.gguf_layer, number, ".");
  }
  if (stem == family.gguf_exception.in_file) return message(prefix, family.gguf_exception.ours, name.substr(dot));
  for (const GgufName* known = family.gguf_names; !known->ours.empty(); ++known)
    if (known->in_file == stem) return message(prefix, known->ours, name.substr(dot));
  return std::string(name);
}

/// The stem of a module's tensors in a GGUF file, "blk.3.attn_q" for "model.layers.3.self_attn.q_proj"; empty for a
/// module that these files do not have.
inline std::string gguf_stem_of(std::string_view module, const CausalFamily& family) {
  std::string prefix;
  if (module.starts_with(family.gguf_layer)) {
    module.remove_prefix(family.gguf_layer.size());
    const std::string_view number = module.substr(0, module.find('.'));
    module.remove_prefix(std::min(module.size(), number.size() + 1));
    prefix = message("blk.", number, ".");
  }
  if (module == family.gguf_exception.ours) return message(prefix, family.gguf_exception.in_file);
  for (const GgufName* known = family.gguf_names; !known->ours.empty(); ++known)
    if (known->ours == module) return message(prefix, known->in_file);
  return {};
}

}  // namespace graft::detail
