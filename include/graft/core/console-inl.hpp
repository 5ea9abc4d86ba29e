#pragma once

#include <cerrno>
#include <iostream>
#include <string_view>
#include <system_error>

#include "graft/core/console.hpp"

namespace graft {

GRAFT_INLINE std::string grouped_digits(std::int64_t value) {
  const std::string digits = std::to_string(value);
  const std::size_t sign = value < 0 ? 1 : 0;
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

GRAFT_INLINE std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::clamp(seconds, 0.0, 3.6e8) + 0.5);
  char text[32];
  if (whole < 3600) {
    std::snprintf(text, sizeof(text), "%lld:%02lld", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return text;
}

GRAFT_INLINE std::size_t terminal_columns(std::FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

GRAFT_INLINE int run_program(const char* name, const std::function<int()>& body) {
  int status = 1;
  try {
    status = body();
  } catch (const std::exception& error) {
    const std::string_view text = error.what();  // LibTorch's has a trace behind it
    std::cout.flush();
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name, std::string(text.substr(0, text.find("\nException raised from"))).c_str());
  }
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return status;
  std::fprintf(stderr, "%s: cannot write to standard output: %s\n", name,
               std::generic_category().message(errno != 0 ? errno : EIO).c_str());
  return status == 0 ? 1 : status;
}

}  // namespace graft
