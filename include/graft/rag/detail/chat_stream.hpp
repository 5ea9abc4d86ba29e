#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/detail/server_events.hpp"
#include "graft/rag/generator.hpp"

namespace graft::detail {

/// The server's own words in the body of an error, as far as it has any.
inline std::string server_words(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return std::string(body);
  const auto error = json.find("error");
  if (error != json.end() && error->is_string()) return error->get<std::string>();
  const Json& holder = error != json.end() && error->is_object() ? *error : json;
  const auto words = holder.find("message");
  return words != holder.end() && words->is_string() ? words->get<std::string>() : std::string(body);
}

/// Puts an answer together from the body of a chat completion, streamed or in one piece.
class ChatStream {
 public:
  /// `where` names the server in errors.
  ChatStream(std::string where, bool streamed, std::size_t most_bytes, const TextFunction& on_text)
      : where_(std::move(where)), streamed_(streamed), most_bytes_(most_bytes), on_text_(on_text) {}

  /// False if the caller wants no more. Throws FormatError for what is no chat completion, FileError for an error that
  /// the server reports.
  bool add(std::string_view bytes) {
    bytes_ += bytes.size();
    if (bytes_ > most_bytes_)
      throw FormatError(message(where_, ": sent more than ", most_bytes_, " bytes for one answer; raise answer_bytes"));
    if (!streamed_) {
      body_ += bytes;
      return true;
    }
    events_.add(bytes);
    while (completion.reason != CompletionEnd::stopped) {
      const std::optional<std::string> data = events_.next();
      if (!data) return true;
      if (*data == "[DONE]")
        complete_ = true;
      else
        take(parse_json(*data, where_, {.depth = 32, .bytes = most_bytes_}), "delta");
    }
    return false;
  }

  /// After the last byte. Throws FileError if the answer is not complete, although the caller wanted all of it.
  void end() {
    if (completion.reason == CompletionEnd::stopped) return;
    if (!streamed_) take(parse_json(body_, where_, {.depth = 32, .bytes = most_bytes_}), "message");
    if (complete_ || completion.reason == CompletionEnd::stopped) return;
    throw FileError(
        message(where_, ": ended its answer half way, after ", completion.text.size(), " bytes of text; ask again"));
  }

  bool complete() const { return complete_; }

  Completion completion;

 private:
  void take(const Json& json, const char* holder) {
    const JsonFields fields(json, where_);
    if (fields.has("error")) throw FileError(message(where_, ": reports ", quoted(server_words(json.dump()), 300)));
    take_usage(fields);
    if (!fields.has("choices")) return fields.fail("choices", "there");
    const Json& choices = fields.value("choices");
    if (!choices.is_array()) fields.fail("choices", "an array");
    if (choices.empty()) return;  // the usage comes so
    const JsonFields choice(choices[0], where_ + ": \"choices\"");
    if (choice.has(holder)) {
      const JsonFields part = choice.object(holder);
      if (part.has("content")) give(part.text("content"));
    }
    if (choice.has("finish_reason")) finish(choice.text("finish_reason"));
  }

  void take_usage(const JsonFields& fields) {
    if (!fields.has("usage")) return;
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    const JsonFields usage = fields.object("usage");
    if (usage.has("prompt_tokens"))
      completion.prompt_tokens = static_cast<std::size_t>(usage.integer("prompt_tokens", 0, most));
    if (usage.has("completion_tokens"))
      completion.tokens = static_cast<std::size_t>(usage.integer("completion_tokens", 0, most));
  }

  void give(const std::string& text) {
    if (text.empty()) return;
    completion.text += text;
    if (!on_text_ || on_text_(text)) return;
    completion.reason = CompletionEnd::stopped;
  }

  void finish(const std::string& reason) {
    complete_ = true;
    if (completion.reason == CompletionEnd::stopped) return;
    completion.reason = reason == "length"           ? CompletionEnd::length
                        : reason == "content_filter" ? CompletionEnd::refused
                                                     : CompletionEnd::end;
  }

  std::string where_;
  bool streamed_;
  std::size_t most_bytes_, bytes_ = 0;
  const TextFunction& on_text_;
  ServerEvents events_;
  std::string body_;
  bool complete_ = false;
};

/// `text` with a space behind the first character of each of `controls`.
inline std::string without_controls(std::string_view text, std::span<const std::string> controls) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const std::size_t size = decode_utf8(text, at).length;
    out += rest.substr(0, size);
    if (std::any_of(controls.begin(), controls.end(), [&](const std::string& c) { return rest.starts_with(c); }))
      out += ' ';
    at += size;
  }
  return out;
}

}  // namespace graft::detail
