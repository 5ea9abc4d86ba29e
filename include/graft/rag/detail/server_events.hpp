#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace graft::detail {

/// An event of a stream: its type, "" where none is named, and its lines of data.
struct ServerEvent {
  std::string type;
  std::string data;
};

/// Reads server-sent events. Comments and fields without a meaning here are passed over. Source: WHATWG HTML, section
/// 9.2. A field "error", which llama.cpp wrote until 2025, is an event of that type.
class ServerEvents {
 public:
  void add(std::string_view bytes) {
    if (begin_ > 0) buffer_.erase(0, std::exchange(begin_, 0));
    buffer_ += bytes;
  }

  /// The next whole event with data, if there is one.
  std::optional<ServerEvent> next() {
    if (!skip_mark()) return std::nullopt;
    while (true) {
      if (after_cr_ && begin_ < buffer_.size()) {
        after_cr_ = false;
        if (buffer_[begin_] == '\n') ++begin_;
      }
      const std::size_t end = buffer_.find_first_of("\r\n", begin_ + searched_);
      if (end == std::string::npos) {
        searched_ = buffer_.size() - begin_;
        return std::nullopt;
      }
      const std::string_view line = std::string_view(buffer_).substr(begin_, end - begin_);
      const bool ends = line.empty();
      if (!ends) take(line);
      after_cr_ = buffer_[end] == '\r';
      begin_ = end + 1;
      searched_ = 0;
      if (!ends) continue;
      ServerEvent event = std::exchange(event_, {});
      if (std::exchange(has_data_, false)) return event;
    }
  }

  /// After the last byte: what no empty line ended. The standard drops it; servers that end without one mean it.
  std::optional<ServerEvent> rest() {
    if (begin_ < buffer_.size()) take(std::string_view(buffer_).substr(begin_));
    begin_ = buffer_.size();
    searched_ = 0;
    ServerEvent event = std::exchange(event_, {});
    return std::exchange(has_data_, false) ? std::optional(std::move(event)) : std::nullopt;
  }

 private:
  /// Passes over a byte order mark. False while it is not known whether there is one.
  bool skip_mark() {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    if (started_) return true;
    const std::string_view front = std::string_view(buffer_).substr(0, mark.size());
    if (front.size() < mark.size() && mark.starts_with(front)) return false;
    if (front == mark) begin_ = mark.size();
    return started_ = true;
  }

  void take(std::string_view line) {
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string_view field = line.substr(0, colon);
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "event") event_.type = value;
    if (field == "error") event_.type = field;
    if (field != "data" && field != "error") return;
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  }

  std::string buffer_;
  std::size_t begin_ = 0;     // of what was not read yet
  std::size_t searched_ = 0;  // bytes from there without a line end
  bool started_ = false;      // whether there is a byte order mark is known
  bool after_cr_ = false;     // "\n" now would be the second half of a line end
  ServerEvent event_;
  bool has_data_ = false;
};

}  // namespace graft::detail
