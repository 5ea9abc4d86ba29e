#pragma once

// Files and directories as documents.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/io/lines.hpp"
#include "graft/retrieval/document.hpp"

enum class FileKind { text, markdown, jsonl };

struct SourceFile {
  std::filesystem::path path;  // canonical: it names the document
  FileKind kind = FileKind::text;
  std::uintmax_t bytes = 0;
};

inline std::optional<FileKind> kind_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending == ".md" || ending == ".markdown") return FileKind::markdown;
  if (ending == ".jsonl" || ending == ".ndjson") return FileKind::jsonl;
  if (ending == ".txt" || ending == ".text" || ending == ".rst") return FileKind::text;
  return std::nullopt;
}

/// The files to read, in the order of their names: those named, whatever their ending, and in directories those with
/// an ending of kind_of(). Links are followed; what was seen under another name is passed over, so that loops end.
class FileWalk {
 public:
  /// `refuse` takes what cannot be read, and why.
  FileWalk(const std::vector<std::string>& arguments,
           std::function<void(const std::string&, const std::string&)> refuse)
      : refuse_(std::move(refuse)) {
    for (const std::string& argument : arguments) visit(argument, true);
    for (const std::string& argument : arguments) {
      std::error_code error;
      std::filesystem::path path = std::filesystem::canonical(argument, error);
      if (!error) places_.push_back(std::move(path));
    }
  }

  const std::vector<SourceFile>& files() const { return files_; }
  const std::vector<std::filesystem::path>& places() const { return places_; }  // what was named and is there
  std::size_t passed_over() const { return passed_over_; }                      // files of other endings

 private:
  void visit(const std::filesystem::path& given, bool named) {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::canonical(given, error);
    if (error) return refuse_(given.string(), error.message());  // a link to nowhere, or to itself
    if (!seen_.insert(path.native()).second) return;
    const auto status = std::filesystem::status(path, error);
    if (std::filesystem::is_directory(status)) return visit_directory(path);
    if (!std::filesystem::is_regular_file(status)) {
      if (named) refuse_(given.string(), "is neither a file nor a directory");
      return;
    }
    const auto kind = kind_of(path);
    if (!kind && !named) {
      ++passed_over_;
      return;
    }
    files_.push_back({path, kind.value_or(FileKind::text), std::filesystem::file_size(path, error)});
  }

  void visit_directory(const std::filesystem::path& path) {
    std::error_code error;
    std::vector<std::filesystem::path> entries;
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
      if (!at->path().filename().native().starts_with('.')) entries.push_back(at->path());
    if (error) refuse_(path.string(), error.message());
    std::sort(entries.begin(), entries.end());
    for (const auto& entry : entries) visit(entry, false);
  }

  std::function<void(const std::string&, const std::string&)> refuse_;
  std::set<std::string> seen_;
  std::vector<SourceFile> files_;
  std::vector<std::filesystem::path> places_;
  std::size_t passed_over_ = 0;
};

inline std::int64_t modified_of(const std::filesystem::path& path) {
  const auto time = std::chrono::file_clock::to_sys(std::filesystem::last_write_time(path));
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

/// A row of a JSONL file: "text", a name in "uri", "id" or "_id" (else file and line), and as metadata the members of
/// "metadata" and all others.
inline graft::Document document_of(const graft::Json& row, const std::string& where, const std::string& file,
                                   std::uint64_t line) {
  const graft::JsonFields fields(row, where);
  graft::Document document{.uri = file + "#" + std::to_string(line), .text = fields.text("text"), .source = file};
  for (const auto* name : {"_id", "id", "uri"}) {
    if (!fields.has(name)) continue;
    const graft::Json& value = fields.value(name);
    if (!value.is_string() && !value.is_number_integer()) fields.fail(name, "a string or an integer");
    document.uri = value.is_string() ? value.get<std::string>() : value.dump();
  }
  if (fields.has("metadata")) document.metadata = fields.object("metadata").json();
  for (const auto& [name, value] : row.items())
    if (name != "text" && name != "metadata" && name != "uri" && name != "id" && name != "_id")
      document.metadata.emplace(name, value);
  return document;
}

/// Gives the documents of files one by one. What cannot be read, is not as it should be or is too long goes to
/// `refuse`, and the next one follows.
class DocumentReader {
 public:
  DocumentReader(std::vector<SourceFile> files, std::size_t document_bytes,
                 std::function<void(const std::string&, const std::string&)> refuse)
      : files_(std::move(files)), document_bytes_(document_bytes), refuse_(std::move(refuse)) {}

  std::optional<graft::Document> next() {
    while (true) {
      try {
        if (lines_) {
          if (auto document = next_row()) return document;
          if (whole_) read_whole_.insert(files_[at_ - 1].path.string());
          lines_.reset();
        }
        if (at_ == files_.size()) return std::nullopt;
        const SourceFile& file = files_[at_++];
        if (file.kind == FileKind::jsonl) {
          lines_ = std::make_unique<graft::LineReader>(file.path, 2 * document_bytes_);
          whole_ = true;
          continue;
        }
        bytes_read_ += file.bytes;
        return graft::Document{.uri = file.path.string(),
                               .text = without_mark(graft::read_file(file.path, document_bytes_)),
                               .modified = modified_of(file.path)};
      } catch (const graft::FormatError& error) {
        whole_ = false;
        refuse_("", error.what());  // which names the file; of a JSONL file the next line follows
      } catch (const std::exception& error) {
        lines_.reset();
        refuse_("", error.what());
      }
    }
  }

  std::uintmax_t bytes_read() const { return bytes_read_; }

  /// Where the document that was given last stands: its file, and its line where it is a row.
  std::string where() const { return lines_ ? lines_->where() : files_[at_ - 1].path.string(); }

  /// The files of rows whose every row was given: what they do not hold is in none.
  const std::set<std::string>& read_whole() const { return read_whole_; }

 private:
  std::optional<graft::Document> next_row() {
    const std::string path = files_[at_ - 1].path.string();
    for (std::string line; lines_->next(line);) {
      bytes_read_ += line.size() + 1;
      if (line.find_first_not_of(" \t") == line.npos) continue;
      const graft::Json row = graft::parse_json(line, lines_->where(), {.depth = 16, .bytes = 2 * document_bytes_});
      return document_of(row, lines_->where(), path, lines_->number());
    }
    return std::nullopt;
  }

  /// Without the byte order mark that some editors write.
  static std::string without_mark(std::string text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
    return text;
  }

  std::vector<SourceFile> files_;
  std::size_t document_bytes_;
  std::function<void(const std::string&, const std::string&)> refuse_;
  std::size_t at_ = 0;
  std::unique_ptr<graft::LineReader> lines_;
  bool whole_ = true;  // no row of the file was left out
  std::set<std::string> read_whole_;
  std::uintmax_t bytes_read_ = 0;
};
