#pragma once

#include <string>
#include <string_view>

#include "graft/core/error.hpp"

/// "OptionError: rank is 0 ...": kind and text of the graft::Error that `call` throws, "(no error)" if it throws none.
/// Other exceptions pass.
template <class Call>
std::string error_message(Call&& call) {
  try {
    call();
  } catch (const graft::Error& error) {
    return graft::message(error.kind(), ": ", error.what());
  }
  return "(no error)";
}

/// `text` with every `part` replaced, such as a test's directory by a short name.
inline std::string replaced(std::string_view text, std::string_view part, std::string_view by) {
  std::string result;
  for (std::size_t at; (at = text.find(part)) != text.npos; text.remove_prefix(at + part.size())) {
    result.append(text.substr(0, at)).append(by);
  }
  return result.append(text);
}
