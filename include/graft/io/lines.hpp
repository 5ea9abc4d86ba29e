#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/file.hpp"
#include "graft/core/mode.hpp"

namespace graft {

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

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/io/lines-inl.hpp"
#endif
