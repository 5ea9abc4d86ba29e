#pragma once

#include <filesystem>

#include "graft/core/mode.hpp"
#include "graft/io/gguf.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/load.hpp"

namespace graft {

/// The configuration of a language model in a GGUF file, of architecture llama, qwen2, qwen3, gemma3 or gpt2. Throws
/// FormatError for another one, for what is missing or out of range, and for a rotary scaling other than linear and
/// Llama 3's.
CausalConfig gguf_config(const GgufFile& file);

/// Loads a language model from a GGUF file, its blocks decoded to numbers of `options.dtype`. What the format changes
/// on the way from Hugging Face's files is changed back: names, the order of llama's rows of q and k, Gemma's norms.
/// Throws FileError or FormatError as GgufFile, gguf_config() and load_tensors() do; all names that do not fit are in
/// one error. Memory for weights is taken only when every name and shape fits.
Pretrained<CausalLM> load_gguf(const std::filesystem::path& path, const PretrainedOptions& options = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/models/gguf-inl.hpp"
#endif
