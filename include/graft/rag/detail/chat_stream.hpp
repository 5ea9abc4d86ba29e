#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/trimmed.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/detail/server_body.hpp"
#include "graft/rag/detail/server_dialect.hpp"
#include "graft/rag/detail/server_events.hpp"
#include "graft/rag/detail/surrogates.hpp"
#include "graft/rag/generator.hpp"

namespace graft::detail {

/// Puts an answer together from the body of a chat completion, streamed or in one piece, whatever its head says.
class ChatStream : public ServerBody {
 public:
  /// `where` names the server in errors.
  ChatStream(std::string where, std::size_t most_bytes, const TextFunction& on_text)
      : where_(std::move(where)), most_bytes_(most_bytes), on_text_(&on_text) {}

  void begin(const std::string& type) override {
    *this = ChatStream(where_, most_bytes_, *on_text_);
    type_ = type;
  }

  /// Throws FormatError for what is no chat completion, ReportedError, and FileError for an error that the server
  /// reports after text.
  bool add(std::string_view bytes) override {
    bytes_ += bytes.size();
    if (bytes_ > most_bytes_)
      throw FormatError(message(where_, ": sent more than ", most_bytes_, " bytes for one answer; raise answer_bytes"));
    if (form_ == Form::unknown) {
      body_ += bytes;
      body_.erase(0, body_.find_first_not_of(kBlanks));  // a sign of life
      form_ = form_of(body_, false);
      if (form_ == Form::events) events_.add(std::exchange(body_, {}));
    } else if (form_ == Form::whole) {
      body_ += bytes;
    } else {
      events_.add(bytes);
    }
    while (!ended()) {
      const std::optional<ServerEvent> event = events_.next();
      if (!event) return true;
      take(*event, false);
    }
    return false;
  }

  bool settle(bool is_cut) override {
    if (form_ == Form::unknown && !body_.empty()) {
      form_ = form_of(body_, true);
      if (form_ == Form::events) events_.add(std::exchange(body_, {}));
    }
    if (form_ == Form::whole) return json_or_none(stand_in_for_halves(whole_text())).has_value();
    while (!ended()) {
      std::optional<ServerEvent> event = events_.next();
      const bool may_be_cut = !event;
      if (may_be_cut) event = events_.rest();
      if (!event) break;
      take(*event, may_be_cut);
    }
    return complete_ && (done_ || !is_cut || !is_reason_common_);
  }

  /// Throws FileError too if the answer is not whole, although the caller wanted all of it.
  void end() override {
    if (form_ == Form::whole) take_whole();
    give(halves_.finish());
    if (complete_ || completion.reason == CompletionEnd::stopped) return;
    if (bytes_ == 0) throw FormatError(message(where_, ": sent an empty answer; is it a server of chat completions?"));
    if (!has_choices_ && form_ == Form::events)
      throw FormatError(message(where_, ": sent nothing with \"choices\", which a chat completion has; the last was ",
                                quoted(last_, 100), "; check the address"));
    throw FileError(
        message(where_, ": ended its answer half way, after ", completion.text.size(), " bytes of text; ask again"));
  }

  Completion completion;

 private:
  enum class Form { unknown, events, whole };
  static constexpr std::string_view kDone = "[DONE]", kBlanks = " \t\r\n";

  bool ended() const { return done_ || completion.reason == CompletionEnd::stopped; }

  /// By what stands at the front, since gateways mislabel both forms.
  Form form_of(std::string_view start, bool all) const {
    const std::string_view text = trimmed(start, kBlanks);
    if (text.starts_with('{')) return Form::whole;
    if (text.empty() && !all) return Form::unknown;
    std::string type = type_;
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
    if (type.starts_with("text/event-stream")) return Form::events;
    for (const std::string_view field : {"data:", "event:", ":", "id:", "retry:", "\xEF\xBB\xBF"}) {
      if (text.starts_with(field)) return Form::events;
      if (field.starts_with(text) && !all) return Form::unknown;
    }
    if (type.starts_with("application/json")) return Form::whole;
    throw FormatError(message(where_, ": answers in ", quoted(type_, 60),
                              ", which no chat completion is: ", quoted(start, 100), "; check the address"));
  }

  Json parsed(std::string_view text) const {
    return parse_json(stand_in_for_halves(text), where_, {.depth = 32, .bytes = 2 * most_bytes_});
  }

  void take(const ServerEvent& event, bool may_be_cut) {
    const std::string_view data = trimmed(event.data, kBlanks);
    if (data == kDone) {
      done_ = complete_ = true;
    } else if (event.type == "error") {
      report(std::string(data));
    } else if (!data.empty()) {
      last_ = data.substr(0, 200);
      const bool lines = data.find('\n') != data.npos;
      const bool may_be_other = may_be_cut || complete_ || lines || (!event.type.empty() && event.type != "message");
      if (!may_be_other || json_or_none(stand_in_for_halves(data)))
        take(parsed(data), false);
      else if (lines)
        take_lines(data, may_be_cut);
    }
  }

  /// Data of several events, from a server that puts no empty line between them.
  void take_lines(std::string_view data, bool may_be_cut) {
    while (!data.empty() && !ended()) {
      const std::size_t end = std::min(data.find('\n'), data.size());
      take(ServerEvent{"", std::string(data.substr(0, end))}, may_be_cut);
      data.remove_prefix(std::min(end + 1, data.size()));
    }
  }

  /// A gateway may put the end of a stream behind an answer in one piece.
  std::string_view whole_text() const {
    const std::string_view text = trimmed(body_, kBlanks);
    const std::size_t last = text.ends_with(kDone) ? text.rfind("data:") : text.npos;
    return trimmed(text.substr(0, last), kBlanks);
  }

  void take_whole() {
    take(parsed(whole_text()), true);
    complete_ = complete_ || has_choices_;
  }

  /// An error; once the answer is complete it is about something else.
  void report(const std::string& body) {
    if (complete_) return;
    if (!completion.text.empty())
      throw FileError(message(where_, ": reports ", quoted(server_words(body), 300), " half way, after ",
                              completion.text.size(), " bytes of text; ask again"));
    const std::optional<Json> json = json_or_none(body);
    throw ReportedError{json ? status_of(*json) : 0, body};
  }

  static bool is_error(const Json& error) {
    if (error.is_structured()) return !error.empty();
    return !error.is_null() && error != false && error != 0 && error != "";
  }

  void take(const Json& json, bool whole) {
    if (is_error(member(json, "error")) || member(json, "object") == "error") return report(json.dump());
    const JsonFields fields(json, where_);
    take_usage(member(json, "usage"));
    if (!fields.has("choices") && !whole) return;  // usage, notices and signs of life come so
    const Json& choices = fields.value("choices");
    if (!choices.is_array()) fields.fail("choices", "an array");
    if (choices.empty()) return;  // so too
    const JsonFields choice(choices[0], where_ + ": \"choices\"");
    has_choices_ = true;
    if (is_error(member(choices[0], "error"))) return report(choices[0].dump());
    // A server may send a whole message as the one event of a stream.
    const bool in_message = choice.has("message") && (whole || (!choice.has("delta") && completion.text.empty()));
    const char* holder = in_message ? "message" : "delta";
    if (choice.has(holder) && take_text(choice.object(holder)) && complete_) {
      is_reason_common_ = true;
      complete_ = false;
    }
    take_reason(choice);
  }

  /// A count that cannot be read costs no answer.
  void take_usage(const Json& usage) {
    const auto read = [&](const char* name, std::optional<std::size_t>& count) {
      const Json& value = member(usage, name);
      if (value.is_number_unsigned()) count = value.get<std::size_t>();
    };
    read("prompt_tokens", completion.prompt_tokens);
    read("completion_tokens", completion.tokens);
  }

  /// Whether there was text. What a model reasons beforehand lies in other members and parts.
  bool take_text(const JsonFields& part) {
    std::string text;
    if (part.has("content")) text = text_of(part);
    if (text.empty() && member(part.json(), "refusal").is_string()) {
      text = part.text("refusal");
      refused_ = refused_ || !text.empty();
    }
    give(halves_.add(text));
    return !text.empty();
  }

  /// A string, or parts of which those with text count.
  static std::string text_of(const JsonFields& part) {
    const Json& content = part.value("content");
    if (content.is_string()) return content.get<std::string>();
    if (!content.is_array() && !content.is_object()) part.fail("content", "a string, or parts with text");
    std::string text;
    for (const Json& entry : content.is_array() ? content : Json::array({content})) {
      if (entry.is_string()) text += entry.get<std::string>();
      const Json& type = member(entry, "type");
      const Json& words = member(entry, "text");
      if (words.is_string() && (type.is_null() || type == "text" || type == "output_text"))
        text += words.get<std::string>();
    }
    return text;
  }

  void give(const std::string& text) {
    if (text.empty() || completion.reason == CompletionEnd::stopped) return;
    completion.text += text;
    if (!*on_text_ || (*on_text_)(text)) return;
    completion.reason = CompletionEnd::stopped;
  }

  /// Why the answer ended, if it has.
  void take_reason(const JsonFields& choice) {
    if (!choice.has("finish_reason") || completion.reason == CompletionEnd::stopped) return;
    const Json& value = choice.value("finish_reason");
    std::string reason = value.is_object() ? choice.object("finish_reason").text("type") : choice.text("finish_reason");
    std::transform(reason.begin(), reason.end(), reason.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
    if (reason.empty() || reason == "null") return;
    const auto among = [&](const auto&... names) { return ((reason == names) || ...); };
    // Of OpenRouter and Portkey, SGLang and vLLM, DeepSeek, Zhipu.
    if (among("error", "abort", "aborted", "cancelled", "canceled", "timeout", "insufficient_system_resource",
              "network_error"))
      return report(Json({{"message", "finish_reason is \"" + reason + "\""}}).dump());
    complete_ = true;
    if (among("length", "max_tokens", "max_output_tokens", "model_length"))
      completion.reason = CompletionEnd::length;
    else if (refused_ || among("content_filter", "refusal", "safety", "recitation", "sensitive", "prohibited_content"))
      completion.reason = CompletionEnd::refused;
    else
      completion.reason = CompletionEnd::end;
  }

  std::string where_;
  std::size_t most_bytes_;
  const TextFunction* on_text_;
  std::string type_;  // of the content, as the answer's head has it
  std::size_t bytes_ = 0;
  Form form_ = Form::unknown;
  std::string body_;  // as long as the form is unknown, or whole
  ServerEvents events_;
  HalfJoiner halves_;
  std::string last_;               // event, for a message
  bool has_choices_ = false;       // in any event
  bool refused_ = false;           // the text says why there is no other
  bool is_reason_common_ = false;  // text came behind a reason for its end
  bool complete_ = false;          // all text has come
  bool done_ = false;              // nothing more will come
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
