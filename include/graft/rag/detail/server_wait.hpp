#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include <httplib.h>

namespace graft::detail {

/// Busy or in trouble for a while; 529 is Anthropic's "overloaded".
inline bool worth_a_retry(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504 || status == 529;
}

/// A time of the form "Sun, 06 Nov 1994 08:49:37 GMT". Source: RFC 9110, section 5.6.7.
inline std::optional<std::chrono::sys_seconds> http_date(const std::string& text) {
  constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  unsigned day = 0, hour = 0, minute = 0, second = 0;
  int year = 0, end = -1;
  char name[4] = {};
  if (std::sscanf(text.c_str(), "%*3[A-Za-z], %2u %3[A-Za-z] %4d %2u:%2u:%2u GMT%n", &day, name, &year, &hour, &minute,
                  &second, &end) != 6 ||
      end != static_cast<int>(text.size()))
    return std::nullopt;
  const auto month = std::find(months.begin(), months.end(), std::string(name)) - months.begin();
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month) + 1),
                                         std::chrono::day(day)};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

/// How long the server asks to be left alone, if it says so: "Retry-After" in seconds or as a time, or OpenAI's and
/// Azure's finer "retry-after-ms".
inline std::optional<std::chrono::milliseconds> asked_wait(const httplib::Response& response,
                                                           std::chrono::system_clock::time_point now) {
  using std::chrono::milliseconds;
  const auto number = [&](const char* header) -> std::optional<double> {
    const std::string text = response.get_header_value(header);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < 1e9)) return std::nullopt;
    return value;
  };
  if (const auto fine = number("retry-after-ms")) return milliseconds(std::lround(*fine));
  if (const auto seconds = number("Retry-After")) return milliseconds(std::lround(*seconds * 1000));
  const auto date = http_date(response.get_header_value("Retry-After"));
  if (!date) return std::nullopt;
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(*date - now));
}

}  // namespace graft::detail
