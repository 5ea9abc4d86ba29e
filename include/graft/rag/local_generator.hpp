#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/rag/generator.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

struct LocalGeneratorOptions {
  /// A family as ChatFormat::of_family() knows them; empty: as ChatFormat::of_vocabulary() says.
  std::string chat_format = {};
  std::size_t most_context = SIZE_MAX;        ///< uses no more than so many tokens of the model's context; 1 or more
  torch::ScalarType dtype = torch::kFloat32;  ///< of the weights

  /// See PretrainedOptions. Nothing: bfloat16 for a float32 model on the CPU, which halves what is read for a token,
  /// else `dtype`. float32 for the file's very numbers.
  std::optional<torch::ScalarType> linear_dtype{};

  torch::Device device = torch::kCPU;

  /// A PEFT directory, as save_adapter() writes it, of the model; it works beside the weights. Empty: none.
  std::filesystem::path adapter{};
};

/// A language model in this process.
///
///     LocalGenerator generator("SmolLM2-135M-Instruct.Q4_1.gguf");
///     const Completion answer = generator.generate({{ChatRole::user, {{question, true}}}});
///
/// Quoted text, and any other, is encoded with special tokens off. Texts are measured in the model's own tokens.
class LocalGenerator : public Generator {
 public:
  /// Loads a Hugging Face directory, or a GGUF file, with its tokenizer. Throws as load_pretrained(), load_gguf() and
  /// Tokenizer::load() do; FormatError if tokenizer and model do not fit each other; OptionError for a chat format that
  /// is unknown or cannot be told, or a context of none. For an adapter as load_adapter() does, and OptionError for one
  /// of another task than CAUSAL_LM or, by its fingerprint, of another base.
  explicit LocalGenerator(const std::filesystem::path& path, const LocalGeneratorOptions& options = {});

  /// The same with a model that is there already, in evaluation mode: one that was trained, for example. An adapter is
  /// put on it, under the name "default".
  LocalGenerator(std::string name, CausalLM model, Tokenizer tokenizer, const LocalGeneratorOptions& options = {});

  std::string name() const override { return name_; }
  std::size_t context_tokens() const override { return context_tokens_; }
  GRAFT_INLINE LengthFunction length() const override;
  std::size_t message_tokens() const override { return 8; }

  /// Throws OptionError for messages that fill the context, and as ChatFormat::parts() does.
  GRAFT_INLINE Completion generate(std::span<const ChatMessage> messages, const CompletionOptions& options = {},
                                   const TextFunction& on_text = {}) override;

 private:
  std::string name_;
  CausalLM model_;
  Tokenizer tokenizer_;
  ChatFormat format_;
  std::size_t context_tokens_ = 0;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/local_generator-inl.hpp"
#endif
