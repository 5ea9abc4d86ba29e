#include "language_model.hpp"

#include "cli.hpp"

#include "graft/core/error.hpp"
#include "graft/rag/local_generator.hpp"
#ifdef RAG_WITH_HTTP
#include "graft/rag/openai_generator.hpp"
#endif

void LanguageModelOptions::add_to(CLI::App& command) {
  auto* local = command.add_option("--generator", generator,
                                   "language model to run here: a GGUF file or a Hugging Face directory");
  command.add_option("--adapter", adapter, "a LoRA adapter of that model: a PEFT directory")->needs(local);
  command.add_option("--chat-format", chat_format, "its format, where its vocabulary does not tell: llama2, ...");
  command.add_option("--server", server, "or the address of a server of chat completions: http://host:port")
      ->excludes(local);
  command.add_option("--server-model", server_model, "the model to ask, where the server has several");
  command.add_option("--key-variable", key_variable, "environment variable that holds the server's key");
  command.add_option("--context", context, "tokens of prompt and answer together, as the server runs it; here at most")
      ->check(whole_number(1))
      ->capture_default_str();
  command.add_option("--answer-tokens", answer_tokens, "tokens of the longest answer")
      ->check(whole_number(1))
      ->capture_default_str();
  command.add_option("--temperature", temperature, "0: always the likeliest words")
      ->check(number(0, 100))
      ->capture_default_str();
}

graft::CompletionOptions LanguageModelOptions::completion() const {
  return {.max_tokens = answer_tokens, .temperature = temperature};
}

std::unique_ptr<graft::Generator> LanguageModelOptions::open() const {
  if (!generator.empty())
    return std::make_unique<graft::LocalGenerator>(
        generator,
        graft::LocalGeneratorOptions{.chat_format = chat_format, .most_context = context, .adapter = adapter});
  if (server.empty())
    throw graft::OptionError("no language model is named; give a file with --generator, or an address with --server");
#ifdef RAG_WITH_HTTP
  graft::OpenAiOptions options;
  options.url = server;
  options.model = server_model;
  options.key_variable = key_variable;
  options.context_tokens = context;
  return std::make_unique<graft::OpenAiGenerator>(options);
#else
  throw graft::OptionError(
      "this rag was built without an HTTP client; install cpp-httplib (Debian: libcpp-httplib-dev) and build again");
#endif
}
