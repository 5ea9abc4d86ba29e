#pragma once

#include <algorithm>

#include "graft/core/utf8.hpp"
#include "graft/io/lines.hpp"

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
  if (const std::size_t bad = std::min(find_invalid_utf8(line), line.find('\0')); bad != line.npos) {
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
