#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"
#include "graft/core/utf8.hpp"
#include "graft/io/lines.hpp"
#include "graft/retrieval/detail/split_mix.hpp"
#include "graft/retrieval/pairs.hpp"

namespace graft {

namespace detail {

/// The one member of `names` that is there; null if none is. Throws FormatError for two.
GRAFT_INLINE const char* only_of(const JsonFields& fields, std::initializer_list<const char*> names) {
  const char* found = nullptr;
  for (const char* name : names) {
    if (!fields.has(name)) continue;
    if (found)
      throw FormatError(
          message(fields.where(), ": has both ", quoted(found), " and ", quoted(name), "; leave one of them out"));
    found = name;
  }
  return found;
}

GRAFT_INLINE const char* one_of(const JsonFields& fields, std::initializer_list<const char*> names,
                                std::string_view what) {
  if (const char* found = only_of(fields, names)) return found;
  std::string list;
  for (const char* name : names) list += message(list.empty() ? "" : ", ", quoted(name));
  throw FormatError(message(fields.where(), ": has no ", what, "; give it in one of ", list));
}

/// Adds a text, or each of a list of texts.
GRAFT_INLINE void add_texts(const JsonFields& fields, const std::string& name, std::size_t most,
                            std::vector<std::string>& out) {
  const Json& value = fields.value(name);
  if (!value.is_string() && !value.is_array()) fields.fail(name, "a text or a list of texts");
  const std::vector<std::string> texts = value.is_string() ? std::vector{value.get<std::string>()} : fields.texts(name);
  for (const std::string& text : texts)
    if (spelling_key(text).empty())
      throw FormatError(message(fields.where(), ": ", quoted(name), " has an empty text; leave it out"));
  if (out.size() + texts.size() > most)
    throw FormatError(message(fields.where(), ": ", quoted(name), " has ", out.size() + texts.size(),
                              " texts; at most ", most, " are read"));
  out.insert(out.end(), texts.begin(), texts.end());
}

GRAFT_INLINE void add_scores(const JsonFields& fields, std::size_t texts, std::vector<double>& out) {
  const char* name = only_of(fields, {"score", "scores"});
  if (!name) return;
  const Json& value = fields.value(name);
  for (const Json& score : value.is_array() ? value : Json::array({value})) {
    if (!score.is_number() || !std::isfinite(score.get<double>())) fields.fail(name, "a number or a list of numbers");
    out.push_back(score.get<double>());
  }
  if (out.size() != texts)
    throw FormatError(message(fields.where(), ": ", quoted(name), " has ", out.size(), " numbers for ", texts,
                              " texts; give one for each positive and then each negative"));
}

GRAFT_INLINE QuestionPairs pairs_of(const Json& row, const std::string& where, const PairsOptions& options) {
  const JsonFields fields(row, where);
  QuestionPairs out;
  out.where = where;
  const char* question = one_of(fields, {"query", "anchor", "question"}, "question");
  out.question = fields.text(question);
  if (spelling_key(out.question).empty())
    throw FormatError(message(where, ": ", quoted(question), " is empty; a question needs words"));
  const char* positive = one_of(fields, {"positive", "answer", "document"}, "text that answers the question");
  add_texts(fields, positive, options.texts, out.positives);
  if (out.positives.empty())
    throw FormatError(message(where, ": ", quoted(positive), " is an empty list; a pair needs a positive"));
  for (const auto& [name, value] : row.items())
    if ((name == "negative" || name == "negatives" || name.starts_with("negative_")) && !value.is_null())
      add_texts(fields, name, options.texts, out.negatives);
  std::unordered_set<std::string> good;
  for (const std::string& text : out.positives) good.insert(spelling_key(text));
  for (const std::string& text : out.negatives)
    if (good.contains(spelling_key(text)))
      throw FormatError(message(where, ": the negative ", quoted(text, 60), " is one of the positives too"));
  add_scores(fields, out.positives.size() + out.negatives.size(), out.scores);
  return out;
}

/// Sets that are joined two by two.
class DisjointSets {
 public:
  explicit DisjointSets(std::size_t count) : above_(count) { std::iota(above_.begin(), above_.end(), std::size_t{0}); }
  /// The smallest of its set.
  std::size_t first(std::size_t i) {
    while (above_[i] != i) i = above_[i] = above_[above_[i]];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    a = first(a), b = first(b);
    above_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> above_;
};

}  // namespace detail

GRAFT_INLINE std::string spelling_key(std::string_view text) {
  if (!is_utf8(text)) return std::string(text);
  utf8proc_uint8_t* raw = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
                                                      UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &raw, options);
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> held(raw, std::free);
  if (size < 0) throw std::bad_alloc();  // of UTF-8 nothing else fails
  std::string out;
  // NFKC has made blanks of the other blank characters of Unicode but the few below.
  const std::string_view folded(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size));
  for (std::size_t at = 0; at < folded.size();) {
    const Utf8Step step = decode_utf8(folded, at);
    constexpr char32_t kNextLine = 0x85, kOgham = 0x1680, kLine = 0x2028, kParagraph = 0x2029;
    const char32_t c = step.code_point;
    const bool blank =
        c == ' ' || (c >= 9 && c <= 13) || c == kNextLine || c == kOgham || c == kLine || c == kParagraph;
    if (!blank)
      out.append(folded.substr(at, step.length));
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
    at += step.length;
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

GRAFT_INLINE PairsFile read_pairs(const std::filesystem::path& path, const PairsOptions& options) {
  LineReader lines(path, options.row_bytes);
  PairsFile out;
  std::string line;
  const auto next = [&] {
    try {
      if (!lines.next(line)) return false;
      if (line.find_first_not_of(" \t") == line.npos) return true;
      const Json row = parse_json(line, lines.where(), {.depth = 16, .bytes = options.row_bytes});
      out.rows.push_back(detail::pairs_of(row, lines.where(), options));
    } catch (const FormatError& error) {
      if (!options.skip_bad_rows) throw;
      if (++out.skipped <= 20) out.faults.emplace_back(error.what());
    }
    return true;
  };
  while (next())
    if (out.rows.size() > options.rows)
      throw FormatError(message(path.native(), ": has more than ", options.rows, " rows; split it"));
  if (out.rows.empty())
    throw FormatError(message(path.native(), ": has no question with its answer",
                              out.faults.empty() ? "" : "; the first row: " + out.faults[0]));
  return out;
}

GRAFT_INLINE std::vector<Leak> find_leaks(std::span<const QuestionPairs> training,
                                          std::span<const QuestionPairs> held_out) {
  std::unordered_map<std::string, std::string> questions, answers;  // key -> where
  for (const QuestionPairs& row : held_out) {
    questions.emplace(spelling_key(row.question), row.where);
    for (const std::string& text : row.positives) answers.emplace(spelling_key(text), row.where);
  }
  std::vector<Leak> out;
  for (const QuestionPairs& row : training) {
    if (const auto found = questions.find(spelling_key(row.question)); found != questions.end())
      out.push_back({Leak::Kind::question, row.question, row.where, found->second});
    for (const std::string& text : row.positives)
      if (const auto found = answers.find(spelling_key(text)); found != answers.end())
        out.push_back({Leak::Kind::answer, text, row.where, found->second});
  }
  return out;
}

GRAFT_INLINE PairsSplit split_pairs(std::span<const QuestionPairs> rows, double share, std::size_t most,
                                    std::uint64_t seed) {
  if (!(share >= 0 && share < 1))
    throw OptionError(message("the share of held-out questions is ", share, "; choose 0 or more, and less than 1"));
  detail::DisjointSets sets(rows.size());
  std::unordered_map<std::string, std::size_t> questions, answers;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    sets.join(i, questions.emplace(spelling_key(rows[i].question), i).first->second);
    for (const std::string& text : rows[i].positives)
      sets.join(i, answers.emplace(spelling_key(text), i).first->second);
  }
  std::vector<std::size_t> size(rows.size()), order;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (sets.first(i) == i) order.push_back(i);
    ++size[sets.first(i)];
  }
  detail::SplitMix random(seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  const auto wanted = std::min(most, static_cast<std::size_t>(std::llround(share * static_cast<double>(rows.size()))));
  std::vector<bool> held(rows.size());
  std::size_t taken = 0;
  for (const std::size_t set : order)
    if (taken + size[set] <= wanted) {
      held[set] = true;
      taken += size[set];
    }
  PairsSplit out;
  for (std::size_t i = 0; i < rows.size(); ++i) (held[sets.first(i)] ? out.held_out : out.training).push_back(i);
  return out;
}

}  // namespace graft
