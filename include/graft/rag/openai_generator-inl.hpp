#pragma once

#include <mutex>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/detail/chat_stream.hpp"
#include "graft/rag/detail/server_client.hpp"
#include "graft/rag/detail/server_dialect.hpp"
#include "graft/rag/openai_generator.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE Json json_of(const ChatMessage& chat, std::span<const std::string> controls) {
  constexpr const char* roles[] = {"system", "user", "assistant"};
  std::string text;
  for (const ChatPiece& piece : chat.pieces) text += piece.quoted ? without_controls(piece.text, controls) : piece.text;
  return {{"role", roles[static_cast<std::size_t>(chat.role)]}, {"content", text}};
}

}  // namespace detail

class OpenAiGenerator::Connection {
 public:
  explicit Connection(OpenAiOptions options)
      : options_(std::move(options)),
        client_(options_.url, options_.key_variable, options_.patience),
        model_(options_.model) {
    if (options_.context_tokens == 0) throw OptionError("context_tokens is 0; say what the model's context is");
    if (!is_utf8(model_)) throw OptionError(message("the model ", quoted(model_), " is not UTF-8"));
    if (!options_.length) options_.length = [](std::string_view text) { return (text.size() + 2) / 3; };
  }

  const OpenAiOptions& options() const { return options_; }

  std::string name() const {
    const std::lock_guard lock(mutex_);
    return model_.empty() ? client_.where() : model_ + " on " + client_.where();
  }

  Completion complete(std::span<const ChatMessage> messages, const CompletionOptions& options,
                      const TextFunction& on_text) {
    using Clock = detail::ServerClient::Clock;
    const Clock::time_point begin = Clock::now();
    std::optional<Clock::time_point> first;
    const TextFunction taking = [&](std::string_view text) {
      if (!first) first = Clock::now();
      return !on_text || on_text(text);
    };
    detail::ChatStream stream(client_.where(), options_.answer_bytes, taking);
    const Json asked = request(messages, options);
    Json body = asked;
    while (true) {
      adapt(body);
      try {
        client_.ask("POST", "/chat/completions", body.dump(), stream);
        break;
      } catch (const detail::RefusedRequest& refusal) {
        const std::optional<std::string> parameter = detail::refused_parameter(refusal.words, body);
        if (!parameter) throw;
        const std::lock_guard lock(mutex_);
        refused_.insert(*parameter);
      }
    }
    Completion out = std::move(stream.completion);
    const auto taken = [&](const std::string& name) {
      return body.contains(name) || (name == "max_tokens" && body.contains("max_completion_tokens"));
    };
    for (const char* name : {"max_tokens", "temperature", "top_p", "seed"})
      if (asked.contains(name) && !taken(name)) out.refused_options.push_back(name);
    out.time = Clock::now() - begin;
    out.first_text = first.value_or(Clock::now()) - begin;
    return out;
  }

 private:
  Json request(std::span<const ChatMessage> messages, const CompletionOptions& options) {
    Json body = {{"model", model()},
                 {"messages", Json::array()},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}}},
                 {"max_tokens", options.max_tokens},
                 {"temperature", options.temperature}};
    for (const ChatMessage& chat : messages) body["messages"].push_back(detail::json_of(chat, options_.control_texts));
    if (options.top_p != 1) body["top_p"] = options.top_p;
    if (!options.stop.empty()) body["stop"] = options.stop;
    if (options.seed) body["seed"] = *options.seed;
    return body;
  }

  /// Takes out of a request what the server has refused before. Each call after a refusal takes out more.
  void adapt(Json& body) const {
    const std::lock_guard lock(mutex_);
    if (refused_.contains("max_tokens") && body.contains("max_tokens"))
      body["max_completion_tokens"] = body["max_tokens"];
    if (refused_.contains("stream")) body.erase("stream_options");  // is about it
    for (const std::string& name : refused_) body.erase(name);
  }

  /// The option, or the only model that the server has.
  std::string model() {
    {
      const std::lock_guard lock(mutex_);
      if (!model_.empty()) return model_;
    }
    detail::WholeBody list(client_.where() + "/models", 8 << 20);
    client_.ask("GET", "/models", "", list);
    const std::string where = client_.where() + "/models";
    const Json json = parse_json(list.text, where, {.depth = 32, .bytes = 8 << 20});
    const JsonFields fields(json, where);
    if (!fields.value("data").is_array()) fields.fail("data", "an array");
    std::vector<std::string> names;
    for (const Json& entry : fields.value("data")) names.push_back(JsonFields(entry, where + ": \"data\"").text("id"));
    if (names.size() != 1) {
      std::string known;
      for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 20); ++i)
        known += (i > 0 ? ", " : "") + quoted(names[i], 80);
      throw OptionError(message(client_.where(), ": has ", names.empty() ? "no model" : "the models ", known,
                                "; name the one to ask"));
    }
    const std::lock_guard lock(mutex_);
    return model_ = names[0];
  }

  OpenAiOptions options_;
  detail::ServerClient client_;
  mutable std::mutex mutex_;  // guards what follows
  std::string model_;
  std::set<std::string> refused_;  // parameters
};

GRAFT_INLINE OpenAiGenerator::OpenAiGenerator(OpenAiOptions options)
    : connection_(std::make_unique<Connection>(std::move(options))) {}
GRAFT_INLINE OpenAiGenerator::~OpenAiGenerator() = default;

GRAFT_INLINE std::string OpenAiGenerator::name() const { return connection_->name(); }
GRAFT_INLINE std::size_t OpenAiGenerator::context_tokens() const { return connection_->options().context_tokens; }
GRAFT_INLINE LengthFunction OpenAiGenerator::length() const { return connection_->options().length; }

GRAFT_INLINE Completion OpenAiGenerator::generate(std::span<const ChatMessage> messages,
                                                  const CompletionOptions& options, const TextFunction& on_text) {
  check_completion(messages, options);
  return connection_->complete(messages, options, on_text);
}

}  // namespace graft
