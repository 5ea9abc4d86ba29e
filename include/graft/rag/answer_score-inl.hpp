#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>

#include "graft/rag/answer_score.hpp"

namespace graft {

namespace detail {

// Words that carry grammar, not knowledge: articles, pronouns, prepositions, conjunctions, auxiliary verbs.
inline constexpr std::array function_words = {
    "about", "after", "all",  "also",  "and",   "any",  "are",   "as",    "at",  "be",   "been", "but",  "by",
    "can",   "do",    "does", "for",   "from",  "has",  "have",  "how",   "if",  "in",   "into", "is",   "it",
    "its",   "no",    "not",  "of",    "on",    "one",  "or",    "other", "out", "over", "so",   "some", "such",
    "than",  "that",  "them", "then",  "there", "they", "these", "this",  "to",  "up",   "via",  "was",  "we",
    "were",  "what",  "when", "which", "who",   "will", "with",  "you",   "your"};

}  // namespace detail

GRAFT_INLINE std::vector<std::string> answer_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && word != "a" && word != "an" && word != "the") words.push_back(word);
    word.clear();
  };
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      end_word();
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if (static_cast<unsigned char>(c) >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    }
  }
  end_word();
  return words;
}

GRAFT_INLINE double token_f1(std::string_view answer, std::string_view truth) {
  const std::vector<std::string> given = answer_words(answer), wanted = answer_words(truth);
  if (given.empty() || wanted.empty()) return given.empty() == wanted.empty() ? 1.0 : 0.0;
  std::map<std::string_view, std::ptrdiff_t> left;
  for (const std::string& word : wanted) ++left[word];
  const auto shared = std::count_if(given.begin(), given.end(), [&](const std::string& word) {
    const auto found = left.find(word);
    return found != left.end() && found->second-- > 0;
  });
  return 2.0 * static_cast<double>(shared) / static_cast<double>(given.size() + wanted.size());
}

GRAFT_INLINE std::set<std::string> key_terms(std::string_view truth, std::string_view question) {
  std::set<std::string> terms;
  for (std::string& word : answer_words(truth)) terms.insert(std::move(word));
  for (const std::string& word : answer_words(question)) terms.erase(word);
  for (const char* word : detail::function_words) terms.erase(word);
  return terms;
}

GRAFT_INLINE double term_recall(std::string_view answer, const std::set<std::string>& terms) {
  if (terms.empty()) return 1.0;
  const std::vector<std::string> words = answer_words(answer);
  const auto found = std::count_if(terms.begin(), terms.end(), [&](const std::string& term) {
    return std::find(words.begin(), words.end(), term) != words.end();
  });
  return static_cast<double>(found) / static_cast<double>(terms.size());
}

}  // namespace graft
