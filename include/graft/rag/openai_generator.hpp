#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/rag/generator.hpp"

namespace graft {

/// How long a server may take. A time of zero or less is an OptionError.
struct ServerPatience {
  std::chrono::milliseconds connect{10'000};   ///< until the connection stands
  std::chrono::milliseconds silence{120'000};  ///< without a byte, such as while it reads a long prompt
  std::chrono::milliseconds total{1'800'000};  ///< for one answer

  std::size_t retries = 4;                         ///< on status 429, 500, 502, 503, 504 and 529, before any text came
  std::chrono::milliseconds first_wait{500};       ///< before the first retry; doubled before each further one
  std::chrono::milliseconds longest_wait{60'000};  ///< a server that asks for more (Retry-After) is not waited for

  /// What waiting means, if not to sleep.
  std::function<void(std::chrono::milliseconds)> wait = {};
};

struct OpenAiOptions {
  std::string url = "http://127.0.0.1:8080";  ///< up to "/chat/completions"; without a path "/v1" is added
  std::string model = {};                     ///< as the server calls it; empty: the only one that the server has
  std::string key_variable = {};              ///< environment variable with the key; empty: no key is sent
  std::size_t context_tokens = 4096;          ///< of the model, as the server runs it
  std::size_t answer_bytes = 16 << 20;        ///< most that a server may send for one answer
  ServerPatience patience = {};

  /// Tokens of a text, which the protocol does not tell. Without it three bytes count as one token, which is more than
  /// most texts have.
  LengthFunction length = {};

  /// Servers read what the template of a model uses for control wherever it stands. In quoted text each of these is
  /// broken by a space behind its first character.
  std::vector<std::string> control_texts = {"<|",
                                            "|>",
                                            "<｜",
                                            "｜>",
                                            "<s>",
                                            "</s>",
                                            "[INST]",
                                            "[/INST]",
                                            "<<SYS>>",
                                            "<</SYS>>",
                                            "<start_of_turn>",
                                            "<end_of_turn>",
                                            "<bos>",
                                            "<eos>",
                                            "<pad>",
                                            "<unk>",
                                            "[SYSTEM_PROMPT]",
                                            "[/SYSTEM_PROMPT]",
                                            "[AVAILABLE_TOOLS]",
                                            "[TOOL_CALLS]",
                                            "<think>",
                                            "</think>"};
};

/// A model on a server that speaks OpenAI's chat completions: llama.cpp, vLLM, Ollama and many others. Needs
/// cpp-httplib: link graft::http.
///
///     OpenAiGenerator generator({.url = "http://127.0.0.1:8080"});
///     const Completion answer = generator.generate(messages, {}, [](std::string_view text) { ...; return true; });
///
/// The answer is streamed; one that comes in one piece is taken too. A server that is busy or in trouble is asked
/// again, after a wait that doubles, shortened by chance by up to half, or as long as it says itself. Once text has
/// come, nothing is asked again. A server that refuses a parameter by name (max_tokens, temperature, top_p, seed,
/// stream, stream_options) is asked without it from then on, each at most once; of max_tokens, max_completion_tokens is
/// tried first. Completion::refused_options says what that changed. What a model reasons beforehand is no part of its
/// answer. The key goes into the request's header and nowhere else: it is cut out of whatever the server says.
/// Redirects are not followed.
class OpenAiGenerator : public Generator {
 public:
  /// Contacts no one. Throws OptionError for an address that is not http:// or https://, a key variable that is not set
  /// or holds what a header cannot, or an option outside its range.
  explicit OpenAiGenerator(OpenAiOptions options);
  GRAFT_INLINE ~OpenAiGenerator() override;

  /// The model, if it is known, and the address.
  GRAFT_INLINE std::string name() const override;

  GRAFT_INLINE std::size_t context_tokens() const override;
  GRAFT_INLINE LengthFunction length() const override;

  /// Throws FileError if the server cannot be reached, is silent for too long, refuses (with its own words) or ends
  /// half way; FormatError if what it sends is not the protocol's, or more than answer_bytes; OptionError if no model
  /// was named and the server has several.
  GRAFT_INLINE Completion generate(std::span<const ChatMessage> messages, const CompletionOptions& options = {},
                                   const TextFunction& on_text = {}) override;

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/openai_generator-inl.hpp"
#endif
