#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"

namespace graft::detail {

/// Reads the header from the front, no more of the file than it has checked to be there.
class GgufCursor {
 public:
  GgufCursor(const InputFile& file, std::uint64_t limit) : file_(file), limit_(std::min(limit, file.size())) {}

  std::uint64_t position() const { return at_; }
  std::uint64_t left() const { return limit_ - at_; }
  std::vector<char> take_bytes() { return std::move(bytes_); }

  /// `path, byte N` for messages: where the next value lies.
  std::string where() const { return message(file_.path().native(), ", byte ", at_); }

  template <class Number>
  Number number(std::string_view what) {
    Number value;
    std::memcpy(&value, take(sizeof value, what), sizeof value);
    return value;
  }

  /// The next `length` bytes; valid until more is read.
  std::string_view text(std::uint64_t length, std::string_view what) {
    return {take(length, what), static_cast<std::size_t>(length)};
  }

  /// Throws if fewer than `length` bytes are left before the file or the limit ends.
  void require(std::uint64_t length, std::string_view what) const {
    if (length <= left()) return;
    if (limit_ < file_.size() && length <= file_.size() - at_) {
      throw FormatError(message(where(), ": ", what, " has ", length, " bytes, beyond the limit of ", limit_,
                                " for the header; raise GgufLimits::header if the file is sound"));
    }
    throw FormatError(message(where(), ": ", what, " has ", length, " bytes, the file only ", file_.size() - at_,
                              " more; copy the file again"));
  }

 private:
  const char* take(std::uint64_t length, std::string_view what) {
    require(length, what);
    if (length > bytes_.size() - at_) {
      constexpr std::uint64_t step = 1 << 20;
      const std::uint64_t before = bytes_.size();
      const std::uint64_t after = std::min(limit_, std::max(at_ + length, before + std::max(step, before)));
      bytes_.resize(static_cast<std::size_t>(after));
      file_.read_at(before, std::as_writable_bytes(std::span(bytes_).subspan(static_cast<std::size_t>(before))));
    }
    at_ += length;
    return bytes_.data() + (at_ - length);
  }

  const InputFile& file_;
  std::uint64_t limit_;
  std::uint64_t at_ = 0;
  std::vector<char> bytes_;
};

}  // namespace graft::detail
