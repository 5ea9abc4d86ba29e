#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace graft::detail {

/// Reads server-sent events: "data:" lines, of which an empty line ends an event. Other fields and comments are passed
/// over. Source: WHATWG HTML, section 9.2.
class ServerEvents {
 public:
  void add(std::string_view bytes) {
    if (begin_ > 0) buffer_.erase(0, begin_), begin_ = 0;
    buffer_ += bytes;
  }

  /// The data of the next whole event, if there is one.
  std::optional<std::string> next() {
    while (true) {
      const std::size_t end = buffer_.find_first_of("\r\n", searched_ + begin_);
      // "\r\n" is one line end, and its second half may still be on its way.
      if (end == std::string::npos || (buffer_[end] == '\r' && end + 1 == buffer_.size())) {
        searched_ = (end == std::string::npos ? buffer_.size() : end) - begin_;
        return std::nullopt;
      }
      const std::string_view line = std::string_view(buffer_).substr(begin_, end - begin_);
      const bool complete = line.empty() && data_;
      if (line.starts_with("data:")) add_data(line.substr(5));
      begin_ = end + (buffer_.compare(end, 2, "\r\n") == 0 ? 2 : 1);
      searched_ = 0;
      if (complete) return std::exchange(data_, std::nullopt);
    }
  }

 private:
  void add_data(std::string_view text) {
    if (text.starts_with(' ')) text.remove_prefix(1);
    if (data_) *data_ += '\n';
    if (!data_) data_.emplace();
    *data_ += text;
  }

  std::string buffer_;
  std::size_t begin_ = 0;     // of what was not read yet
  std::size_t searched_ = 0;  // bytes from there without a line end
  std::optional<std::string> data_;
};

}  // namespace graft::detail
