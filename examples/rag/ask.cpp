#include "ask.hpp"

#include <cstdio>
#include <optional>
#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/rag/ask.hpp"
#include "graft/rag/summarise.hpp"
#include "graft/retrieval/filter.hpp"
#include "graft/training/interrupt.hpp"
#include "printing.hpp"
#include "progress.hpp"
#include "questions.hpp"
#include "store.hpp"

namespace {

using ::json_of;  // of a Hit

graft::Json json_of(const graft::Source& source) {
  graft::Json json = {{"number", source.number}, {"uri", source.uri}, {"begin", source.begin}, {"end", source.end}};
  if (!source.heading.empty()) json["heading"] = source.heading;
  if (source.passage > 0) json["passage"] = source.passage;
  if (!source.text.empty()) json["text"] = source.text;
  return json;
}

graft::Json json_of(const graft::Citation& citation) {
  return {{"number", citation.number}, {"begin", citation.begin}, {"end", citation.end}};
}

graft::Json json_of(const graft::ChatMessage& message) {
  constexpr const char* roles[] = {"system", "user", "assistant"};
  return {{"role", roles[static_cast<std::size_t>(message.role)]}, {"content", message.text()}};
}

template <class Items>
graft::Json json_list(const Items& items) {
  graft::Json list = graft::Json::array();
  for (const auto& item : items) list.push_back(json_of(item));
  return list;
}

graft::Json json_of(const std::string& question, const graft::Answer& answer) {
  constexpr const char* ends[] = {"end", "length", "stopped", "refused"};
  graft::Json json = {{"question", question},
                      {"answer", answer.text},
                      {"found", answer.found},
                      {"citations", json_list(answer.citations)},
                      {"cited", json_list(answer.cited())},
                      {"not_sources", answer.not_sources},
                      {"hits", json_list(answer.hits)},
                      {"prompt", json_list(answer.prompt.messages)},
                      {"sources", json_list(answer.prompt.sources)},
                      {"left_out", answer.prompt.left_out},
                      {"end", ends[static_cast<std::size_t>(answer.completion.reason)]},
                      {"refused_options", answer.completion.refused_options},
                      {"seconds",
                       {{"retrieve", answer.retrieve_time.count()},
                        {"prompt", answer.prompt_time.count()},
                        {"first_text", answer.completion.first_text.count()},
                        {"generate", answer.completion.time.count()}}}};
  if (answer.completion.prompt_tokens) json["prompt_tokens"] = *answer.completion.prompt_tokens;
  if (answer.completion.tokens) json["tokens"] = *answer.completion.tokens;
  return json;
}

void print_sources(std::span<const graft::Source> sources) {
  for (const graft::Source& source : sources) {
    std::printf("[%zu] %s, bytes %zu to %zu", source.number, one_line(source.uri, 400).c_str(), source.begin,
                source.end);
    if (!source.heading.empty()) std::printf(", %s", one_line(source.heading, 100).c_str());
    std::printf("\n");
  }
}

void print_strangers(std::span<const std::string> marks) {
  if (marks.empty()) return;
  std::fflush(stdout);
  std::string list;
  for (const std::string& mark : marks) list += " " + mark;
  std::fprintf(stderr, "rag: taken out, since they name no source:%s\n", list.c_str());
}

void print_refused(std::span<const std::string> options) {
  for (const std::string& option : options)
    std::fprintf(stderr, "rag: the server takes no %s: it answered with its own\n", option.c_str());
}

bool print_text(std::string_view text) {
  std::fputs(printable(text).c_str(), stdout);
  return std::fflush(stdout) == 0;
}

/// Throws OptionError if there is nothing to ask about.
void check_not_empty(graft::Store& store) {
  if (store.read()->size().documents == 0)
    throw graft::OptionError(
        graft::message("the store ", graft::quoted(store.name()), " has no document; bring some in with: rag index"));
}

}  // namespace

int run_ask(const AskCommand& command) {
  const SearchMode mode = mode_named(command.mode);
  const auto filter = command.where.empty() ? std::nullopt : std::optional(graft::Filter::parse(command.where));
  const auto generator = command.language_model.open();
  check_not_empty(*open_store(command.store, false));
  std::optional<Search> search;  // opened once the question is known to be one
  graft::AskOptions options;
  options.select = graft::nearer_than(command.least_similarity);
  options.completion = command.language_model.completion();
  const graft::Answerer answerer(
      [&](const std::string& question) {
        if (!search) search.emplace(command.store, command.model, mode != SearchMode::bm25, command.questions);
        graft::Query query{.text = question};
        query.filter = filter;
        query.top = command.top;
        query.neighbours = command.neighbours;
        search->set_mode(query, mode);
        return search->retriever().search(query);
      },
      *generator, options);
  const graft::Answer answer = answerer.ask(command.question, command.json ? graft::TextFunction() : print_text);
  if (command.json) {
    std::printf("%s\n", json_of(command.question, answer).dump(2).c_str());
    return 0;
  }
  std::printf("\n");
  const std::vector<graft::Source> cited = answer.cited();
  if (!cited.empty()) std::printf("\nSources\n");
  print_sources(cited);
  if (answer.found && cited.empty()) {
    std::printf("\nThe answer cites no source. It was given these:\n");
    print_sources(answer.prompt.sources);
  }
  std::fflush(stdout);
  if (answer.completion.reason == graft::CompletionEnd::length)
    std::fprintf(stderr, "rag: the answer was cut off; raise --answer-tokens or --context\n");
  print_strangers(answer.not_sources);
  print_refused(answer.completion.refused_options);
  return 0;
}

int run_summarise(const SummariseCommand& command) {
  const graft::InterruptFlag interrupt;
  graft::SummaryOptions options;
  if (!command.where.empty()) options.filter = graft::Filter::parse(command.where);
  options.focus = command.focus;
  options.completion = command.language_model.completion();
  options.most_calls = command.most_calls;
  ProgressLine line;
  options.stop = [&] { return interrupt.flag().load(); };
  options.progress = [&](const graft::SummaryProgress& now) {
    line.show(static_cast<double>(now.calls) / static_cast<double>(now.of),
              graft::message(now.calls, " of ", now.of, " calls"));
  };
  const auto generator = command.language_model.open();
  const auto store = open_store(command.store, false);
  check_not_empty(*store);
  const graft::Summary summary = graft::summarise(*store->read(), *generator, options);
  line.clear();
  if (summary.stopped) {
    std::fprintf(stderr, "rag: stopped after %zu calls; nothing was summarised\n", summary.calls);
    return 130;
  }
  if (summary.sources.empty()) throw graft::OptionError("no document fits --where");
  if (command.json) {
    std::printf("%s\n", graft::Json({{"summary", summary.text},
                                     {"citations", json_list(summary.citations)},
                                     {"cited", json_list(summary.cited())},
                                     {"not_sources", summary.unknown},
                                     {"documents", summary.sources.size()},
                                     {"refused_options", summary.refused_options},
                                     {"calls", summary.calls}})
                            .dump(2)
                            .c_str());
    return 0;
  }
  std::printf("%s\n\nSources, of %zu documents read\n", printable(summary.text).c_str(), summary.sources.size());
  print_sources(summary.cited());
  print_strangers(summary.unknown);
  print_refused(summary.refused_options);
  return 0;
}
