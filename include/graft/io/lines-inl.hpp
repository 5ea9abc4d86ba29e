#pragma once

#include "graft/io/lines.hpp"

namespace graft::detail {

GRAFT_INLINE std::size_t find_bad_utf8(std::string_view text) {
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

}  // namespace graft::detail

namespace graft {

GRAFT_INLINE bool LineReader::next(std::string& line) {
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
GRAFT_INLINE std::string_view LineReader::piece() {
  if (used_ == buffer_.size()) {
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(1 << 18, file_.size() - position_)));
    file_.read_at(position_, std::as_writable_bytes(std::span(buffer_)));
    used_ = 0;
  }
  return std::string_view(buffer_).substr(used_);
}

}  // namespace graft
