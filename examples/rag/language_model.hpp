#pragma once

// The language model that writes answers.

#include <cstddef>
#include <memory>
#include <string>

namespace CLI {
class App;
}

namespace graft {
class Generator;
struct CompletionOptions;
}  // namespace graft

struct LanguageModelOptions {
  std::string generator, adapter, chat_format;
  std::string server, server_model, key_variable;
  std::size_t context = 4096;
  std::size_t answer_tokens = 512;
  double temperature = 0;

  void add_to(CLI::App& command);

  graft::CompletionOptions completion() const;
  std::unique_ptr<graft::Generator> open() const;
};
