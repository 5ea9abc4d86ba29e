#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/generation/chat.hpp"
#include "graft/retrieval/chunker.hpp"

namespace graft {

/// How an answer is to be written.
struct CompletionOptions {
  std::size_t max_tokens = 512;            ///< the longest answer
  double temperature = 0;                  ///< 0: always the likeliest token
  double top_p = 1;                        ///< in (0, 1]: of the likeliest tokens, as many as have this much chance
  std::vector<std::string> stop = {};      ///< the answer ends before any of these
  std::optional<std::uint64_t> seed = {};  ///< of the choice among tokens, where the temperature is above 0
};

/// Why a completion ended.
enum class CompletionEnd {
  end,      ///< the model ended it, or one of CompletionOptions::stop
  length,   ///< max_tokens or the model's context was full
  stopped,  ///< the caller wanted no more
  refused,  ///< a filter of the server's held the rest back
};

/// What a generator wrote.
struct Completion {
  std::string text;  ///< UTF-8
  CompletionEnd reason = CompletionEnd::end;
  std::optional<std::size_t> prompt_tokens = {};  ///< as the generator counts them, if it says
  std::optional<std::size_t> tokens = {};
  std::vector<std::string> refused_options = {};  ///< options that a server refuses: it took values of its own instead
  std::chrono::duration<double> first_text{};     ///< until the first text came
  std::chrono::duration<double> time{};
};

/// Takes text as it comes, in pieces that are UTF-8 each; false ends the completion.
using TextFunction = std::function<bool(std::string_view)>;

/// A language model that goes on from messages: in this process, or on a server.
///
/// Threads: every member may run on many at once, unless the class says otherwise.
class Generator {
 public:
  virtual ~Generator() = default;

  /// For messages and reports: the model, and where it is.
  virtual std::string name() const = 0;

  /// Most tokens of messages and answer together.
  virtual std::size_t context_tokens() const = 0;

  /// How many tokens a text has, at least: what prompts are measured with.
  virtual LengthFunction length() const = 0;

  /// Tokens that each message costs beside its text.
  virtual std::size_t message_tokens() const { return 16; }

  /// Writes the message that follows `messages`. Throws OptionError for no messages, a text that is not UTF-8, or an
  /// option outside its range; what the class says besides.
  virtual Completion generate(std::span<const ChatMessage> messages, const CompletionOptions& options = {},
                              const TextFunction& on_text = {}) = 0;
};

/// Throws OptionError as generate() promises.
void check_completion(std::span<const ChatMessage> messages, const CompletionOptions& options);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/generator-inl.hpp"
#endif
