#pragma once

// Figures as a person reads them.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>

inline std::string decimal(double value, int places) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", places, value);
  return text;
}

/// Three digits or so, with a unit of bytes: "302 kB".
inline std::string bytes_text(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  return decimal(bytes, unit > 0 && bytes < 9.95 ? 1 : 0) + " " + units[unit];
}

/// "0.42 s", "12 s", "3 min 20 s", "2 h 5 min".
inline std::string seconds_text(double seconds) {
  if (seconds < 9.95) return decimal(seconds, seconds < 0.995 ? 2 : 1) + " s";
  const auto whole = std::llround(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole >= 3600) return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
  return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
}

/// "134.5 million", "4,884".
inline std::string count_text(double count) {
  if (count >= 1e6) return decimal(count / 1e6, 1) + " million";
  std::string text = decimal(count, 0);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}
