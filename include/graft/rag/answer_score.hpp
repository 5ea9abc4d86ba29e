#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"

namespace graft {

/// The words of an answer as question-answering benchmarks compare them: ASCII lower case, ASCII punctuation taken out,
/// the articles a, an and the left out, parted at white space.
/// Source: Rajpurkar et al., SQuAD, arXiv:1606.05250, section 6.1, whose evaluation does the same.
std::vector<std::string> answer_words(std::string_view text);

/// Harmonic mean of precision and recall over the words that `answer` and `truth` share, each as often as both have it;
/// in [0, 1]. Two texts without words are equal: 1; one without words: 0.
double token_f1(std::string_view answer, std::string_view truth);

/// The terms that `truth` stands or falls with: its words, each once, without function words of English and without
/// those of `question`, which are no knowledge.
std::set<std::string> key_terms(std::string_view truth, std::string_view question = {});

/// Share of `terms` among the words of `answer`, in [0, 1]; 1 if there are none.
double term_recall(std::string_view answer, const std::set<std::string>& terms);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/answer_score-inl.hpp"
#endif
