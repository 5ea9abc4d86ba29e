#pragma once

#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace graft {

/// Base of every exception that graft throws. what() says what was wrong, where, and what to do.
class Error : public std::runtime_error {
 public:
  /// The name of the error's class, such as "OptionError".
  const char* kind() const noexcept { return kind_; }

 protected:
  Error(const char* kind, std::string_view message) : std::runtime_error(std::string(message)), kind_(kind) {}

 private:
  const char* kind_;
};

/// An option, argument or name given by the caller is outside what the declaration allows.
class OptionError : public Error {
 public:
  explicit OptionError(std::string_view message) : Error("OptionError", message) {}
};

/// The content of a file, or of any other input, breaks its format.
class FormatError : public Error {
 public:
  explicit FormatError(std::string_view message) : Error("FormatError", message) {}
};

/// The operating system refused: a path that is not there, no permission, a full disk.
class FileError : public Error {
 public:
  explicit FileError(std::string_view message) : Error("FileError", message) {}
};

/// Sizes of tensors or counts of rows that do not fit together.
class ShapeError : public Error {
 public:
  explicit ShapeError(std::string_view message) : Error("ShapeError", message) {}
};

/// The call is not allowed in the state the object is in, such as adding an adapter to a merged layer.
class StateError : public Error {
 public:
  explicit StateError(std::string_view message) : Error("StateError", message) {}
};

/// Training cannot go on, or did not do what was asked: a loss that is not finite, a parameter that never moved.
class TrainingError : public Error {
 public:
  explicit TrainingError(std::string_view message) : Error("TrainingError", message) {}
};

/// Puts a message together from anything an ostream prints: message("rank is ", rank, " for layer ", quoted(name)).
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// The texts with `separator` between them: joined({"a", "b"}, ", ").
inline std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

/// quoted(text, limit = 120): `text` in double quotes for a message, control bytes and quotes escaped, cut after
/// `limit` bytes, so that neither a hostile name nor a long document floods a terminal or a log. A function object,
/// because argument-dependent lookup would prefer std::quoted for a std::string.
inline constexpr auto quoted = [](std::string_view text, std::size_t limit = 120) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > limit ? "...\"" : "\"");
};

}  // namespace graft
