#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/rag/ask.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::set<std::size_t> numbers_of(std::span<const Source> sources) {
  std::set<std::size_t> out;
  for (const Source& source : sources) out.insert(source.number);
  return out;
}

/// The sources that the citations name, each once, in the order of the citations.
GRAFT_INLINE std::vector<Source> cited_of(std::span<const Citation> citations, std::span<const Source> sources) {
  std::vector<Source> out;
  std::set<std::size_t> taken;
  for (const Citation& citation : citations)
    for (const Source& source : sources)
      if (source.number == citation.number && taken.insert(source.number).second) out.push_back(source);
  return out;
}

/// Asks the generator, and passes on the text that `reader` has settled.
GRAFT_INLINE Completion generate_cited(Generator& generator, const Prompt& prompt, const CompletionOptions& options,
                                       CitationReader& reader, const TextFunction& on_text) {
  bool wanted = true;
  Completion out = generator.generate(prompt.messages, options, [&](std::string_view text) {
    const std::string settled = reader.add(text);
    if (on_text && !settled.empty()) wanted = on_text(settled);
    return wanted;
  });
  const std::string rest = reader.finish();
  if (on_text && wanted && !rest.empty()) on_text(rest);
  return out;
}

}  // namespace detail

GRAFT_INLINE SelectFunction nearer_than(double least_similarity) {
  return [=](const std::string&, std::vector<Hit> hits) {
    bool searched = false, near = false;
    for (const Hit& hit : hits) {
      searched = searched || hit.similarity;
      near = near || (hit.similarity && *hit.similarity >= least_similarity);
    }
    if (searched && !near) return std::vector<Hit>();
    std::erase_if(hits, [&](const Hit& hit) { return hit.similarity && *hit.similarity < least_similarity; });
    return hits;
  };
}

GRAFT_INLINE std::vector<Source> Answer::cited() const { return detail::cited_of(citations, prompt.sources); }

GRAFT_INLINE Answerer::Answerer(RetrieveFunction retrieve, Generator& generator, AskOptions options)
    : retrieve_(std::move(retrieve)),
      generator_(generator),
      options_(std::move(options)),
      budget_(budget_beside(generator, options_.completion.max_tokens)) {
  if (!retrieve_) throw OptionError("there is no function that finds passages; give one, such as a Retriever's search");
  if (!options_.prompt)
    options_.prompt = [](const std::string& question, std::span<const Hit> hits, const PromptBudget& budget) {
      return make_prompt(question, hits, budget);
    };
}

GRAFT_INLINE Answer Answerer::ask(const std::string& question, const TextFunction& on_text) const {
  using Clock = std::chrono::steady_clock;
  if (question.size() > options_.question_bytes)
    throw OptionError(message("the question has ", question.size(), " bytes; the most is ", options_.question_bytes,
                              "; ask shorter, or bring long text in as a document"));
  options_.prompt(question, {}, budget_);  // whether it has room is known before the search
  Answer out;
  const Clock::time_point begin = Clock::now();
  out.hits = retrieve_(question);
  const std::vector<Hit> chosen = options_.select ? options_.select(question, out.hits) : out.hits;
  const Clock::time_point found = Clock::now();
  out.retrieve_time = found - begin;
  if (!chosen.empty()) out.prompt = options_.prompt(question, chosen, budget_);
  out.prompt_time = Clock::now() - found;
  if (out.prompt.sources.empty()) {
    out.text = options_.nothing_found;
    if (on_text) on_text(out.text);
    return out;
  }
  CitationReader reader(detail::numbers_of(out.prompt.sources));
  out.completion = detail::generate_cited(generator_, out.prompt, options_.completion, reader, on_text);
  out.found = true;
  out.text = reader.text();
  out.citations = reader.citations();
  out.not_sources = reader.unknown();
  return out;
}

}  // namespace graft
