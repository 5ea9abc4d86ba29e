#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/rag/citations.hpp"
#include "graft/rag/generator.hpp"
#include "graft/rag/prompt.hpp"
#include "graft/retrieval/query.hpp"

namespace graft {

/// Finds passages for a question, best first.
using RetrieveFunction = std::function<std::vector<Hit>(const std::string& question)>;

/// Chooses those of the hits that bear on the question, in their order.
using SelectFunction = std::function<std::vector<Hit>(const std::string& question, std::vector<Hit> hits)>;

/// Puts question and sources into messages; make_prompt(), if it is not another. Called without hits first, to find out
/// before the search whether the question has room.
using PromptFunction =
    std::function<Prompt(const std::string& question, std::span<const Hit> hits, const PromptBudget& budget)>;

/// Nothing, if vectors were searched and none is as near as `least_similarity`; else the hits but those whose vector is
/// known to be less near. Without vectors: all hits.
SelectFunction nearer_than(double least_similarity);

struct AskOptions {
  /// 0.25 suits all-MiniLM-L6-v2 and its like; other models put other numbers to "near".
  SelectFunction select = nearer_than(0.25);
  PromptFunction prompt = {};
  CompletionOptions completion = {};
  std::string nothing_found = "I found nothing about this in the documents.";
  std::size_t question_bytes = 64 << 10;  ///< the longest question
};

/// An answer with its sources, and all that led to it.
struct Answer {
  std::string text;
  bool found = false;  ///< false: nothing relevant was found, `text` says so, and the generator was not asked
  std::vector<Citation> citations;       ///< marks of `text`, in its order
  std::vector<std::string> not_sources;  ///< marks that named no source, as written; `text` is without them

  std::vector<Hit> hits;  ///< as they were found
  Prompt prompt;          ///< with all sources
  Completion completion;  ///< as it was written, with every mark
  std::chrono::duration<double> retrieve_time{};
  std::chrono::duration<double> prompt_time{};

  /// The sources that the answer cites, each once, in the order of their first mark.
  std::vector<Source> cited() const;
};

/// Answers questions from documents: find, choose, prompt, write, cite. Each step can be another.
///
///     Answerer answerer([&](const std::string& question) { return retriever.search({.text = question}); }, generator);
///     const Answer answer = answerer.ask("how do I resize pictures?");
///
/// Threads: ask() may run on many at once if the steps may.
class Answerer {
 public:
  /// The generator must outlive this. Throws OptionError if there is no `retrieve`, or the generator's context has no
  /// room for a prompt beside the answer.
  Answerer(RetrieveFunction retrieve, Generator& generator, AskOptions options = {});

  /// `on_text` takes the text of the answer as it becomes settled, without marks that name no source; false ends it.
  /// Throws OptionError for a question that is empty, not UTF-8 or too long, and what the steps throw.
  Answer ask(const std::string& question, const TextFunction& on_text = {}) const;

 private:
  RetrieveFunction retrieve_;
  Generator& generator_;
  AskOptions options_;
  PromptBudget budget_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/ask-inl.hpp"
#endif
