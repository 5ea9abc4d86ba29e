#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/file.hpp"

namespace graft {
namespace detail {

/// The first byte of `text` that is not well-formed UTF-8, or is NUL; npos if there is none.
inline std::size_t find_bad_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    if (lead > 0 && lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    // What the second byte may be, so that nothing is written longer than it need be, is a surrogate or is above
    // U+10FFFF.
    const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    bool good = length != 0 && byte(i + 1) >= low && byte(i + 1) <= high;
    for (std::size_t k = 2; good && k < length; ++k) good = byte(i + k) >= 0x80 && byte(i + k) <= 0xBF;
    if (!good) return i;
    i += length;
  }
  return text.npos;
}

}  // namespace detail

/// The lines of a UTF-8 file of any size, read in pieces. A byte order mark at its start is no part of the first line.
class LineReader {
 public:
  /// A line may be of `limit` bytes. Throws FileError if the file cannot be opened.
  LineReader(const std::filesystem::path& path, std::size_t limit) : file_(path), limit_(limit) {}

  /// The next line without its end (LF or CRLF), false at the end of the file. Throws FormatError for a line that is
  /// too long or not UTF-8; the next call goes on behind it.
  bool next(std::string& line);

  std::uint64_t number() const { return number_; }  ///< of the last line, from 1
  std::string_view end() const { return end_; }     ///< "\n", "\r\n", or "" at the end of the file

  /// "file, line 3", of the last line unless given.
  std::string where() const { return where(number_); }
  std::string where(std::uint64_t line) const { return message(file_.path().native(), ", line ", line); }

 private:
  std::string_view piece();

  InputFile file_;
  std::size_t limit_;
  std::string buffer_;
  std::size_t used_ = 0;        // of buffer_
  std::uint64_t position_ = 0;  // in the file, of the first unused byte
  std::uint64_t number_ = 0;
  std::string_view end_;
};

inline bool LineReader::next(std::string& line) {
  line.clear();
  ++number_;
  end_ = "";
  std::size_t length = 0;
  while (end_.empty()) {
    const std::string_view rest = piece();
    if (rest.empty()) break;
    const std::size_t newline = rest.find('\n');
    const std::size_t taken = std::min(newline, rest.size());
    length += taken;
    if (length <= limit_ + 1) line.append(rest.substr(0, taken));  // one more for a CR
    if (newline != rest.npos) end_ = "\n";
    used_ += taken + end_.size();
    position_ += taken + end_.size();
  }
  if (length == 0 && end_.empty()) return false;
  if (!end_.empty() && line.ends_with('\r') && length <= limit_ + 1) {
    line.pop_back();
    --length;
    end_ = "\r\n";
  }
  if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  if (length > limit_) throw FormatError(message(where(), ": longer than the limit of ", limit_, " bytes"));
  if (const std::size_t bad = detail::find_bad_utf8(line); bad != line.npos) {
    throw FormatError(message(where(), ", byte ", bad, ": not UTF-8; convert the file to UTF-8"));
  }
  return true;
}

/// What is read and not yet used; empty only at the end of the file.
inline std::string_view LineReader::piece() {
  if (used_ == buffer_.size()) {
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(1 << 18, file_.size() - position_)));
    file_.read_at(position_, std::as_writable_bytes(std::span(buffer_)));
    used_ = 0;
  }
  return std::string_view(buffer_).substr(used_);
}

}  // namespace graft
