// lm_finetune chat: a conversation in the terminal, or one question a line from a file.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/rag/local_generator.hpp"
#include "graft/training/interrupt.hpp"
#include "language.hpp"
#include "options.hpp"
#include "printing.hpp"

namespace {

constexpr const char* help_text =
    "/system TEXT  say how it is to answer, and begin anew\n"
    "/new          begin anew\n"
    "/undo         forget the last question and its answer\n"
    "/quit         end; so does the end of the input. Ctrl-C stops an answer.\n";

class Chat {
 public:
  Chat(graft::LocalGenerator& generator, const ChatOptions& options) : generator_(generator), options_(options) {
    begin(options.system);
  }

  /// Answers, or does what a line that begins with "/" asks for. False: that was the end.
  bool take(const std::string& line) {
    if (line.find_first_not_of(" \t\r") == line.npos) return true;
    if (line[0] != '/') return ask(line), true;
    if (line == "/quit" || line == "/exit") return false;
    if (line == "/new") {
      begin(system_);
    } else if (line.starts_with("/system ")) {
      begin(line.substr(8));
    } else if (line == "/undo") {
      if (messages_.size() >= first_ + 2) messages_.resize(messages_.size() - 2);
    } else {
      std::fputs(help_text, stderr);
    }
    return true;
  }

 private:
  void begin(const std::string& system) {
    system_ = system;
    messages_.clear();
    if (!system.empty()) messages_.push_back({graft::ChatRole::system, {{system}}});
    first_ = messages_.size();
  }

  std::size_t tokens() const {
    const graft::LengthFunction length = generator_.length();
    std::size_t sum = 0;
    for (const graft::ChatMessage& message : messages_) sum += length(message.text()) + generator_.message_tokens();
    return sum;
  }

  /// Room for an answer, if need be by leaving out what was said first.
  void make_room() {
    const std::size_t most =
        generator_.context_tokens() - std::min(generator_.context_tokens() / 2, options_.answer_tokens);
    std::size_t left_out = 0;
    while (messages_.size() > first_ + 1 && tokens() > most) {
      messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(first_),
                      messages_.begin() + static_cast<std::ptrdiff_t>(first_) + 2);
      ++left_out;
    }
    if (left_out > 0)
      std::fprintf(stderr, "note: the first %zu questions and answers no longer fit and are left out\n", left_out);
  }

  void ask(const std::string& question) {
    messages_.push_back({graft::ChatRole::user, {{question, /*quoted=*/true}}});
    const graft::InterruptFlag interrupt;  // one for each answer: Ctrl-C at the prompt ends the program
    try {
      make_room();
      const graft::Completion answer = generator_.generate(messages_,
                                                           {.max_tokens = options_.answer_tokens,
                                                            .temperature = options_.temperature,
                                                            .top_p = options_.top_p,
                                                            .seed = options_.seed},
                                                           [&](std::string_view text) {
                                                             std::fputs(printable(text).c_str(), stdout);
                                                             return std::fflush(stdout) == 0 && !interrupt.flag();
                                                           });
      std::printf("\n");
      std::fflush(stdout);
      if (answer.reason == graft::CompletionEnd::length)
        std::fprintf(stderr, "note: the answer was cut off; see --answer-tokens\n");
      messages_.push_back({graft::ChatRole::assistant, {{answer.text, /*quoted=*/true}}});
    } catch (const graft::OptionError& error) {
      messages_.pop_back();
      std::fprintf(stderr, "%s\n", error.what());
    }
  }

  graft::LocalGenerator& generator_;
  const ChatOptions& options_;
  std::string system_;
  std::vector<graft::ChatMessage> messages_;
  std::size_t first_ = 0;  // messages before the first question
};

}  // namespace

int run_chat(const ChatOptions& options) {
  graft::LocalGenerator generator(options.language.model,
                                  {.chat_format = options.language.chat_format, .adapter = options.language.adapter});
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) std::fprintf(stderr, "%s\nAsk, or /help.\n", generator.name().c_str());
  Chat chat(generator, options);
  std::string line;
  while (true) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, line)) break;
    if (line.ends_with('\r')) line.pop_back();
    if (!chat.take(line)) break;
  }
  if (terminal) std::fputs("\n", stderr);
  return 0;
}
