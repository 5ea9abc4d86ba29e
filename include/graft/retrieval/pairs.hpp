#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft {

/// A question with texts that answer it, and maybe some that do not.
struct QuestionPairs {
  std::string question;
  std::vector<std::string> positives;  ///< at least one
  std::vector<std::string> negatives = {};
  std::vector<double> scores = {};  ///< how well they fit: none, or one for each positive and then each negative
  std::string where = {};           ///< "pairs.jsonl, line 3"
};

struct PairsOptions {
  bool skip_bad_rows = false;        ///< count them instead of throwing
  std::size_t row_bytes = 16 << 20;  ///< the longest row
  std::size_t texts = 1000;          ///< positives, and negatives, of a row
  std::uint64_t rows = 100'000'000;  ///< rows of a file
};

struct PairsFile {
  std::vector<QuestionPairs> rows;
  std::uint64_t skipped = 0;
  std::vector<std::string> faults = {};  ///< what was wrong with the first twenty of them
};

/// Reads JSON objects, one a line, in the order of the file:
/// - the question in "query", "anchor" or "question";
/// - what answers it in "positive", "answer" or "document": a text or a list of texts;
/// - what does not in "negative", "negatives" or "negative_1", ...: likewise; may be absent;
/// - "score" or "scores": a number for each of them, positives first; may be absent.
/// Other members are not looked at, blank lines are no rows. A bad row is one that is no such object, has none or two
/// of the names for one thing, an empty text, a negative that is one of its positives, or another number of scores than
/// texts. Throws FileError; FormatError, with file and line, for a bad row unless they are skipped, and for a file
/// without a good one.
PairsFile read_pairs(const std::filesystem::path& path, const PairsOptions& options = {});

/// One text in two sets that should have nothing in common.
struct Leak {
  enum class Kind { question, answer } kind = Kind::question;
  std::string text;
  std::string training;  ///< where it stands: QuestionPairs::where
  std::string held_out;
};

/// What the two sets share: questions, and positives, in any spelling that a reader takes for the same
/// (spelling_key()); in the order of `training`, each of its rows and texts once.
std::vector<Leak> find_leaks(std::span<const QuestionPairs> training, std::span<const QuestionPairs> held_out);

/// Rows that are trained on, and rows that are not.
struct PairsSplit {
  std::vector<std::size_t> training;  ///< in their order
  std::vector<std::size_t> held_out;
};

/// Holds out about `share` of `rows`, and at most `most` of them, without a leak: rows that share a question or a
/// positive in any spelling go to one side together. The same rows and seed give the same split. Throws OptionError
/// unless 0 <= share < 1.
PairsSplit split_pairs(std::span<const QuestionPairs> rows, double share, std::size_t most = SIZE_MAX,
                       std::uint64_t seed = 0);

/// The text as all its spellings have it in common: Unicode's NFKC_Casefold (composed and decomposed, full-width,
/// cases), each run of white space one blank, none at the ends. What is not UTF-8 stays as it is.
std::string spelling_key(std::string_view text);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/retrieval/pairs-inl.hpp"
#endif
