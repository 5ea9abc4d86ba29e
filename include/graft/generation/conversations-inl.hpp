#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/file.hpp"
#include "graft/core/hash.hpp"
#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/generation/conversations.hpp"
#include "graft/generation/detail/conversation_rows.hpp"
#include "graft/io/dataset.hpp"
#include "graft/io/lines.hpp"

namespace graft {

namespace detail {

/// Bad rows: thrown on, or counted.
class BadRows {
 public:
  BadRows(bool skip, ConversationFile& file) : skip_(skip), file_(file) {}

  /// Of the exception that is being handled.
  void take(const FormatError& error) {
    if (!skip_) throw;
    ++file_.skipped;
    note(error.what());
  }
  void add(const DatasetReader& reader) {
    file_.skipped += reader.skipped();
    for (const std::string& fault : reader.faults()) note(fault);
  }

 private:
  void note(const std::string& fault) {
    if (file_.faults.size() < 20) file_.faults.push_back(fault);
  }

  bool skip_;
  ConversationFile& file_;
};

/// The rows of one kind of file, as JSON objects; those that are none are taken by BadRows.
class ConversationSource {
 public:
  virtual ~ConversationSource() = default;

  virtual bool next(Json& row) = 0;

  /// Where the last row is: "chat.jsonl, line 3".
  virtual std::string where() const = 0;

  /// What it has, for a message.
  virtual std::vector<std::string> members(const Json& row) const {
    std::vector<std::string> names;
    for (const auto& [name, value] : row.items()) names.push_back(name);
    return names;
  }
};

class ConversationLines : public ConversationSource {
 public:
  ConversationLines(const std::filesystem::path& path, std::size_t row_bytes, BadRows& bad)
      : lines_(path, row_bytes), row_bytes_(row_bytes), bad_(bad) {}

  bool next(Json& row) override {
    for (std::string line;;) {
      try {
        if (!lines_.next(line)) return false;
        if (is_blank_text(line)) continue;
        row = parse_json(line, where(), {.depth = 16, .bytes = row_bytes_});
        return true;
      } catch (const FormatError& error) {
        bad_.take(error);
      }
    }
  }
  std::string where() const override { return lines_.where(); }

 private:
  LineReader lines_;
  std::size_t row_bytes_;
  BadRows& bad_;
};

class ConversationArray : public ConversationSource {
 public:
  ConversationArray(Json rows, std::string path) : rows_(std::move(rows)), path_(std::move(path)) {}

  bool next(Json& row) override {
    if (next_ == rows_.size()) return false;
    row = std::move(rows_[next_++]);
    return true;
  }
  std::string where() const override { return message(path_, ", row ", next_); }

 private:
  Json rows_;
  std::string path_;
  std::size_t next_ = 0;
};

/// CSV and TSV: of the columns those that a form has, or that graft refuses.
class ConversationColumns : public ConversationSource {
 public:
  ConversationColumns(const std::filesystem::path& path, const DatasetOptions& options, BadRows& bad)
      : path_(path.native()),
        header_(DatasetReader(path, {}, options).header()),
        known_(known_columns(header_)),
        reader_(path, known_, options),
        bad_(bad) {}

  bool next(Json& row) override {
    DatasetRow read;
    if (!reader_.next(read)) {
      bad_.add(reader_);
      return false;
    }
    line_ = read.line;
    row = Json::object();
    for (std::size_t i = 0; i < known_.size(); ++i) row[known_[i]] = std::move(read.values[i]);
    return true;
  }
  std::string where() const override { return message(path_, ", line ", line_); }
  std::vector<std::string> members(const Json&) const override { return header_; }

 private:
  static std::vector<std::string> known_columns(const std::vector<std::string>& header) {
    std::vector<std::string> known;
    const auto keep = [&](std::string_view name) {
      if (std::find(header.begin(), header.end(), name) == header.end()) return;
      if (std::find(known.begin(), known.end(), name) == known.end()) known.emplace_back(name);
    };
    for (const FormMembers& form : conversation_forms()) {
      for (const std::string_view name : form.needed) keep(name);
      for (const std::string_view name : form.optional) keep(name);
    }
    for (const RefusedMember& member : refused_in_rows) keep(member.name);
    return known;
  }

  std::string path_;
  std::vector<std::string> header_, known_;
  DatasetReader reader_;
  BadRows& bad_;
  std::uint64_t line_ = 1;
};

/// Whether the first byte that is no blank is that of an array.
GRAFT_INLINE bool is_json_array(const std::filesystem::path& path, const ConversationOptions& options) {
  LineReader lines(path, options.file_bytes);
  for (std::string line; lines.next(line);) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != line.npos) return line[first] == '[';
  }
  return false;
}

GRAFT_INLINE Json whole_text(const std::filesystem::path& path, std::uint64_t limit) {
  std::string text = read_file(path, limit);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (const std::size_t bad = std::min(find_invalid_utf8(text), text.find('\0')); bad != text.npos)
    throw FormatError(message(path.native(), ", byte ", bad, ": not UTF-8; convert the file to UTF-8"));
  Json rows = Json::array();
  if (!is_blank_text(text)) rows.push_back({{"text", std::move(text)}});
  return rows;
}

GRAFT_INLINE std::unique_ptr<ConversationSource> open_conversations(const std::filesystem::path& path,
                                                                    const ConversationOptions& options, BadRows& bad) {
  const std::string ending = path.extension().string();
  if (ending == ".csv" || ending == ".tsv") {
    return std::make_unique<ConversationColumns>(
        path, DatasetOptions{.skip_bad_rows = options.skip_bad_rows, .row_bytes = options.row_bytes}, bad);
  }
  if (ending == ".txt") return std::make_unique<ConversationArray>(whole_text(path, options.file_bytes), path.native());
  if (ending == ".json" && is_json_array(path, options)) {
    return std::make_unique<ConversationArray>(read_json(path, {.depth = 16, .bytes = options.file_bytes}),
                                               path.native());
  }
  if (ending == ".json" || ending == ".jsonl" || ending == ".ndjson")
    return std::make_unique<ConversationLines>(path, options.row_bytes, bad);
  throw OptionError(message(path.native(), ": the ending ", quoted(ending),
                            " names no format; known are .jsonl, .ndjson, .json, .csv, .tsv, .txt"));
}

GRAFT_INLINE bool has_members(const Json& row, const FormMembers& form) {
  return std::all_of(form.needed.begin(), form.needed.end(),
                     [&](std::string_view name) { return row.is_object() && row.contains(name); });
}

/// Whether the row is of the form, or, with none, of which it is.
GRAFT_INLINE std::optional<ConversationForm> form_of(const Json& row, std::optional<ConversationForm> form = {}) {
  for (const FormMembers& each : conversation_forms())
    if ((!form || each.form == *form) && has_members(row, each)) return each.form;
  return std::nullopt;
}

/// Throws for a row that is not of the form that the file has.
[[noreturn]] GRAFT_INLINE void throw_wrong_form(const ConversationSource& source, const Json& row,
                                                std::optional<ConversationForm> wanted) {
  if (!row.is_object()) throw FormatError(message(source.where(), ": is ", described(row), ", but must be an object"));
  std::vector<std::string> names, known;
  for (const std::string& name : source.members(row)) names.push_back(quoted(name));
  for (const FormMembers& each : conversation_forms()) known.emplace_back(to_string(each.form));
  const std::optional<ConversationForm> is = form_of(row);
  throw FormatError(
      message(source.where(), ": has ", names.empty() ? "no members" : graft::joined(names, ", "),
              is ? message(", a row of ", to_string(*is)) : std::string(", which is no form of a conversation"),
              wanted ? message("; the file is one of ", to_string(*wanted), ", keep each form in a file of its own")
                     : message("; known are ", graft::joined(known, "; "))));
}

/// What a row says, to find rows that stand twice.
GRAFT_INLINE std::string said(std::span<const ChatMessage> messages) {
  std::string out;
  for (const ChatMessage& each : messages) {
    const std::string text = each.text();
    out += message(role_name(each.role), ' ', text.size(), ' ', text);
  }
  return out;
}

}  // namespace detail

GRAFT_INLINE std::string_view to_string(ConversationForm form) {
  switch (form) {
    case ConversationForm::messages:
      return "messages (messages: role, content)";
    case ConversationForm::prompt_completion:
      return "prompts and completions (prompt, completion)";
    case ConversationForm::text:
      return "plain text (text)";
    case ConversationForm::alpaca:
      return "Alpaca (instruction, input, output)";
    case ConversationForm::sharegpt:
      return "ShareGPT (conversations: from, value)";
    case ConversationForm::preference:
      break;
  }
  return "preferences (prompt, chosen, rejected)";
}

GRAFT_INLINE ConversationFile read_conversations(const std::filesystem::path& path,
                                                 const ConversationOptions& options) {
  ConversationFile file;
  detail::BadRows bad(options.skip_bad_rows, file);
  const auto source = detail::open_conversations(path, options, bad);
  std::optional<ConversationForm> form = options.form;
  std::unordered_set<std::uint64_t> seen;
  std::uint64_t rows = 0;
  for (Json row; source->next(row);) {
    if (++rows > options.rows)
      throw FormatError(message(path.native(), ": has more rows than the limit of ", options.rows));
    try {
      std::string said;
      const std::optional<ConversationForm> is = detail::form_of(row, form);
      if (!is) detail::throw_wrong_form(*source, row, form);
      form = is;
      const JsonFields fields(row, source->where());
      detail::refuse_members(fields, detail::refused_in_rows);
      if (*form == ConversationForm::text) {
        file.texts.push_back(detail::said_text(fields, "text"));
        said = file.texts.back();
      } else if (*form == ConversationForm::preference) {
        file.preferences.push_back(detail::read_preference(fields));
        const Preference& read = file.preferences.back();
        said = detail::said(read.prompt) + "\n" + detail::said(read.chosen) + "\n" + detail::said(read.rejected);
      } else {
        file.conversations.push_back(detail::read_conversation(fields, *form));
        said = detail::said(file.conversations.back().messages);
      }
      file.doubled += seen.insert(fingerprint(said)).second ? 0 : 1;
    } catch (const FormatError& error) {
      bad.take(error);
    }
  }
  if (seen.empty()) {
    throw FormatError(message(path.native(), ": holds no rows",
                              file.skipped > 0
                                  ? message(" but ", file.skipped, " bad ones; the first: ", file.faults[0])
                                  : "; is it the right file?"));
  }
  file.form = *form;
  return file;
}

}  // namespace graft
