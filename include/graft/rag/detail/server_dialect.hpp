#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"

namespace graft::detail {

/// The JSON that a server sent, or none.
inline std::optional<Json> json_or_none(std::string_view text) {
  try {
    return parse_json(text, "", {.depth = 32});
  } catch (const FormatError&) {
    return std::nullopt;
  }
}

/// The member of an object; null if there is none.
inline const Json& member(const Json& object, std::string_view name) {
  static const Json none;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() ? none : *found;
}

/// Where the error lies in what a server sent: the object that describes it, or its text.
inline const Json& error_in(const Json& json) {
  const Json& holder = json.is_array() && json.size() == 1 ? json[0] : json;  // Google's servers put it in a list
  const Json& error = member(holder, "error");
  return error.is_object() || error.is_string() ? error : holder;
}

/// The server's own words in the body of an error, as far as it has any.
inline std::string server_words(std::string_view body) {
  const std::optional<Json> json = json_or_none(body);
  if (!json) return std::string(body);
  const Json& error = error_in(*json);
  if (error.is_string()) return error.get<std::string>();
  for (const char* name : {"message", "detail"})
    if (const Json& words = member(error, name); words.is_string()) return words.get<std::string>();
  return std::string(body);
}

/// The HTTP status that an error within an answer stands for; 0 if it names none.
inline int status_of(const Json& json) {
  const Json& error = error_in(json);
  for (const Json* holder : {&error, &json})
    for (const char* name : {"code", "status", "status_code"}) {
      const Json& value = member(*holder, name);
      int status = 0;
      if (value.is_number_integer()) status = value.get<int>();
      if (value.is_string()) {
        const std::string& text = value.get_ref<const std::string&>();
        std::from_chars(text.data(), text.data() + text.size(), status);
      }
      if (status >= 400 && status < 600) return status;
    }
  const Json& type = member(error, "type");
  if (type == "overloaded_error") return 529;
  if (type == "rate_limit_error" || type == "rate_limit_exceeded") return 429;
  return 0;
}

/// What a refusal says, apart from what it repeats of the request.
struct RefusalWords {
  std::string param, code;          ///< OpenAI's form
  std::vector<std::string> places;  ///< the path of a member, as validators name it: "body", "stream_options"
  std::string text;                 ///< all else, in lower case

  explicit RefusalWords(std::string_view body) {
    if (const std::optional<Json> json = json_or_none(body))
      read(*json);
    else
      text = body;
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
  }

  /// Whether the text has `name` as a word; `in_quotes`: between quotation marks.
  bool names(std::string_view name, bool in_quotes) const {
    const auto inside = [](char c) { return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos; ++at) {
      const char before = at > 0 ? text[at - 1] : ' ';
      const char after = at + name.size() < text.size() ? text[at + name.size()] : ' ';
      if (inside(before) || inside(after)) continue;
      if (!in_quotes || std::string_view("'\"`").find(before) != std::string_view::npos) return true;
    }
    return false;
  }

  /// Whether it is about how large a value may be, and not about the parameter.
  bool is_about_size() const {
    constexpr std::array known = {"unsupported_parameter", "unsupported_value", "unknown_parameter"};
    if (std::find(known.begin(), known.end(), code) != known.end()) return false;
    constexpr std::array sizes = {"too large", "too small", "too high",  "too low",  "too big",      "too long",
                                  "maximum",   "minimum",   "exceed",    "at most",  "at least",     "less than",
                                  "between",   "range",     "more than", "no more ", "context size", "context length"};
    return std::any_of(sizes.begin(), sizes.end(),
                       [&](const char* words) { return text.find(words) != std::string::npos; });
  }

 private:
  /// As deep as the parser lets JSON be.
  void read(const Json& json) {
    if (json.is_string()) text += json.get<std::string>() + "\n";
    if (json.is_array())
      for (const Json& entry : json) read(entry);
    if (!json.is_object()) return;
    for (const auto& [name, value] : json.items()) {
      if (name == "param" && value.is_string()) {
        param = value.get_ref<const std::string&>().substr(0, value.get_ref<const std::string&>().find_first_of(".["));
      } else if (name == "code" && value.is_string()) {
        code = value;
      } else if (name == "loc" && value.is_array()) {
        for (const Json& place : value)
          if (place.is_string()) places.push_back(place);
      } else if (name != "input" && name != "body") {  // the request, once more
        read(value);
      }
    }
  }
};

/// The parameter of the request `sent` that a refusal is about and that an answer can do without. One at a time.
inline std::optional<std::string> refused_parameter(std::string_view refusal, const Json& sent) {
  struct Known {
    const char* name;
    bool is_word;  // of other sentences too
  };
  constexpr std::array known = {
      Known{"stream_options", false}, Known{"seed", false},       Known{"top_p", false},
      Known{"temperature", false},    Known{"max_tokens", false}, Known{"max_completion_tokens", false},
      Known{"stream", true},
  };
  const RefusalWords words(refusal);
  for (const auto& [name, is_word] : known) {
    if (!sent.contains(name)) continue;
    const bool placed = std::find(words.places.begin(), words.places.end(), name) != words.places.end();
    if (words.param.empty() ? !placed && !words.names(name, is_word) : words.param != name) continue;
    // No limit is low enough to forbid 0: what is refused then is to go without chance.
    const bool lowest = sent[name] == 0;
    if (!lowest && sent[name].is_number() && words.is_about_size()) return std::nullopt;
    return name;
  }
  return std::nullopt;
}

}  // namespace graft::detail
