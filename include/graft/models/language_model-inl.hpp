#pragma once

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/error.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/language_model.hpp"

namespace graft {

GRAFT_INLINE Pretrained<CausalLM> load_language_model(const std::filesystem::path& path,
                                                      const PretrainedOptions& options) {
  return std::filesystem::is_directory(path) ? load_pretrained<CausalLM>(path, options) : load_gguf(path, options);
}

GRAFT_INLINE void load_language_adapter(const std::filesystem::path& directory, CausalLM model, const std::string& base,
                                        const std::string& name) {
  const AdapterDir files(directory);
  if (const auto& task = files.config().task_type; task && *task != "CAUSAL_LM")
    throw OptionError(message(quoted(directory.string()), " is an adapter for ", *task,
                              ", not for CAUSAL_LM; name one that was trained to write text"));
  const LoadedAdapter loaded = load_adapter(directory, *model, name);
  if (loaded.other_base.empty()) return;
  detach(*model, name);
  throw OptionError(message("the adapter is not of the model ", quoted(base), ": ", loaded.other_base));
}

}  // namespace graft
