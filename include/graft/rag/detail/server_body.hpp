#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "graft/core/error.hpp"

namespace graft::detail {

/// What a server reports within an answer of a good status, before any of its text.
struct ReportedError {
  int status;  ///< that it names; 0 if none
  std::string body;
};

/// Takes the body of an answer as it comes. Each member may throw FileError, FormatError and ReportedError.
class ServerBody {
 public:
  virtual ~ServerBody() = default;

  /// A good answer begins, of this content type; once for each try.
  virtual void begin(const std::string& type) = 0;

  /// False if no more is wanted.
  virtual bool add(std::string_view bytes) = 0;

  /// After the last byte, or where the connection broke off (`is_cut`): whether all is there.
  virtual bool settle(bool is_cut) = 0;

  /// After settle(), where the connection did not break off or all is there.
  virtual void end() = 0;
};

/// All of a body.
class WholeBody : public ServerBody {
 public:
  /// `where` names it in errors.
  WholeBody(std::string where, std::size_t most_bytes) : where_(std::move(where)), most_bytes_(most_bytes) {}

  void begin(const std::string&) override { text.clear(); }
  bool add(std::string_view bytes) override {
    if (text.size() + bytes.size() > most_bytes_)
      throw FormatError(message(where_, ": sent more than ", most_bytes_, " bytes; check the address"));
    text += bytes;
    return true;
  }
  bool settle(bool) override { return false; }
  void end() override {}

  std::string text;

 private:
  std::string where_;
  std::size_t most_bytes_;
};

}  // namespace graft::detail
