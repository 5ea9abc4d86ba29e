// Passages found by meaning and by word, in one file or on a PostgreSQL server.
//
//   rag index  notes/ more.jsonl --store my.db --model all-MiniLM-L6-v2
//   rag remove notes/old.txt --store my.db
//   rag search "how do I resize pictures from the shell" --store my.db
//   rag ask    "how do I resize pictures?" --store my.db --server http://127.0.0.1:8080
//   rag eval   --store my.db --queries queries.jsonl --relevant qrels.tsv
//   rag allow  map.safetensors --store my.db
//   rag copy   --from my.db --to postgresql://user@host/database

#include <cstdio>

#include <ATen/Parallel.h>

#include "ask.hpp"
#include "cli.hpp"
#include "copy.hpp"
#include "embed.hpp"
#include "eval.hpp"
#include "gone.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/version.hpp"
#include "index.hpp"
#include "make_questions.hpp"
#include "search.hpp"

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app("Indexes documents and finds the passages that answer a question, by meaning (vectors) and by word.");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  int threads = 0;
  const CLI::IsMember modes({"hybrid", "dense", "bm25"});

  IndexOptions index;
  CLI::App* indexing = app.add_subcommand(
      "index",
      "Brings documents into a store. What did not change since the last time is not read by the model again.");
  indexing->add_option("documents", index.sources, "files, and directories of .txt, .md and .jsonl files")->required();
  indexing
      ->add_option("--store", index.store,
                   "file, or postgresql://user@host/database[?schema=NAME]; made if it is not there")
      ->required();
  indexing->add_option("--model", index.model, "sentence-transformers directory; needed the first time");
  indexing->add_option("--size", index.size, "tokens of a passage; 0: all that the model reads")->capture_default_str();
  indexing->add_option(
      "--overlap", index.overlap,
      "tokens that a passage may repeat of the one before; a tenth of the size, at most 20, unless given");
  indexing->add_flag("--prune", index.prune,
                     "remove from the store what was indexed from these files and directories and is no longer there");

  RemoveOptions remove;
  CLI::App* removing = app.add_subcommand("remove", "Takes documents out of a store.");
  removing
      ->add_option("documents", remove.names,
                   "names of documents, or files and directories that they were read from, there or not")
      ->required();
  removing->add_option("--store", remove.store, "file, or postgresql://user@host/database[?schema=NAME]")->required();

  SearchOptions search;
  CLI::App* searching = app.add_subcommand("search", "Prints the passages that answer a question, best first.");
  searching->add_option("question", search.question, "what to look for")->required();
  searching->add_option("--store", search.store, "file, or postgresql://user@host/database[?schema=NAME]")->required();
  searching->add_option("--model", search.model, "the model of the store, if it lies elsewhere by now");
  searching->add_option("--top", search.top, "passages to print")->capture_default_str()->check(whole_number(1, 10000));
  searching->add_option("--where", search.where,
                        "only documents whose metadata fit: section = \"graphics\" and year > 2020");
  searching->add_option("--mode", search.mode, "hybrid, dense (vectors) or bm25 (words)")
      ->check(modes)
      ->capture_default_str();
  searching->add_option("--per-document", search.per_document, "passages of one document at most; 0: any number")
      ->capture_default_str();
  searching->add_option("--neighbours", search.neighbours, "passages to show before and after each")
      ->check(whole_number(0))
      ->capture_default_str();
  search.questions.add_to(*searching);
  searching->add_flag("--json", search.json, "print JSON");

  AskCommand ask;
  CLI::App* asking = app.add_subcommand("ask", "Answers a question from the passages that it finds, and names them.");
  asking->add_option("question", ask.question, "what you want to know")->required();
  asking->add_option("--store", ask.store, "file, or postgresql://user@host/database[?schema=NAME]")->required();
  asking->add_option("--model", ask.model, "the model of the store, if it lies elsewhere by now");
  asking->add_option("--top", ask.top, "passages to look at")->capture_default_str()->check(whole_number(1, 1000));
  asking->add_option("--where", ask.where, "only documents whose metadata fit: section = \"graphics\"");
  asking->add_option("--mode", ask.mode, "hybrid, dense (vectors) or bm25 (words)")
      ->check(modes)
      ->capture_default_str();
  asking->add_option("--neighbours", ask.neighbours, "passages to read before and after each")
      ->check(whole_number(0))
      ->capture_default_str();
  asking
      ->add_option("--least-similarity", ask.least_similarity,
                   "where no passage is as near as this, nothing is answered")
      ->capture_default_str();
  ask.questions.add_to(*asking);
  ask.language_model.add_to(*asking);
  asking->add_flag("--json", ask.json, "print JSON: answer, sources, hits, prompt, times");

  SummariseCommand summarise;
  CLI::App* summarising = app.add_subcommand("summarise", "Says what all documents of a store say together.");
  summarising->add_option("--store", summarise.store, "file, or postgresql://user@host/database[?schema=NAME]")
      ->required();
  summarising->add_option("--where", summarise.where, "only documents whose metadata fit");
  summarising->add_option("--focus", summarise.focus, "what to look at above all");
  summarising->add_option("--most-calls", summarise.most_calls, "of the language model, to read the documents")
      ->check(whole_number(1))
      ->capture_default_str();
  summarise.language_model.answer_tokens = 256;
  summarise.language_model.add_to(*summarising);
  summarising->add_flag("--json", summarise.json, "print JSON");

  QuestionsCommand questions;
  CLI::App* questioning = app.add_subcommand(
      "questions", "Writes questions for passages, with a language model, to train a retriever on or to judge it by.");
  questioning->add_option("--store", questions.store, "file, or postgresql://user@host/database[?schema=NAME]")
      ->required();
  questioning->add_option("--model", questions.model, "the model of the store, if it lies elsewhere by now");
  questioning->add_option("--out", questions.out, "JSON objects, one a line: \"query\" and \"positive\"")->required();
  questioning->add_option("--where", questions.where, "only documents whose metadata fit");
  questioning->add_option("--passages", questions.passages, "at most so many, evenly among all")
      ->check(whole_number(1))
      ->capture_default_str();
  questioning
      ->add_option("--found-within", questions.found_within,
                   "a question is kept if a search for it has its document among the first so many")
      ->check(whole_number(1))
      ->capture_default_str();
  questioning->add_option("--mode", questions.mode, "of that search")->check(modes)->capture_default_str();
  questioning->add_option("--instructions", questions.instructions, "what the language model is told before a passage");
  questions.language_model.answer_tokens = 48;
  questions.language_model.add_to(*questioning);
  questioning->add_flag("--json", questions.json, "print JSON");

  EvalOptions eval;
  CLI::App* evaluating =
      app.add_subcommand("eval", "Measures how well a store answers queries whose relevant documents are known.");
  evaluating->add_option("--store", eval.store, "file, or postgresql://user@host/database[?schema=NAME]")->required();
  evaluating->add_option("--model", eval.model, "the model of the store, if it lies elsewhere by now");
  evaluating->add_option("--queries", eval.queries, "JSON objects, one a line: \"id\" and \"text\"")->required();
  evaluating->add_option("--relevant", eval.relevant, "lines of query, document and grade, with tabs between")
      ->required();
  evaluating->add_option("--mode", eval.modes, "any of hybrid, dense and bm25; all unless given")
      ->delimiter(',')
      ->check(modes);
  evaluating->add_option("--k", eval.k, "places that are looked at")->check(whole_number(1))->capture_default_str();
  eval.questions.add_to(*evaluating);
  evaluating->add_flag("--json", eval.json, "print JSON");

  EmbedOptions embed;
  CLI::App* embedding = app.add_subcommand("embed", "Prints the vector of each line of standard input.");
  embedding->add_option("--model", embed.model, "sentence-transformers directory")->required();
  embedding->add_option("--prompt", embed.prompt, "name of the model's prompt to put before each, such as query");
  embedding->add_option("--out", embed.out, "write [lines, width] to this safetensors file instead, as \"vectors\"");
  embedding->add_option("--repeat", embed.repeat, "embed all of it so often, to see how fast that is")
      ->capture_default_str()
      ->check(whole_number(1, 1000));

  CopyCommand copy;
  CLI::App* copying =
      app.add_subcommand("copy", "Copies all of a store into another, of any kind; nothing is cut or embedded again.");
  copying->add_option("--from", copy.from, "file, or postgresql://user@host/database[?schema=NAME]")->required();
  copying->add_option("--to", copy.to, "likewise; made if it is not there, and all of the copy appears at once")
      ->required();

  AllowOptions allow;
  CLI::App* allowing = app.add_subcommand(
      "allow",
      "Lets questions be encoded by a map or an adapter that was trained with another store of the same model.");
  allowing->add_option("adapter", allow.adapter, "what retriever_finetune has written")->required();
  allowing->add_option("--store", allow.store, "file, or postgresql://user@host/database[?schema=NAME]")->required();

  for (CLI::App* command : {indexing, searching, asking, questioning, evaluating, embedding})
    command->add_option("--threads", threads, "0: one for each core")->check(thread_count())->capture_default_str();

  return run_cli("rag", app, argc, argv, [&] {
    if (threads > 0) at::set_num_threads(threads);
    if (*indexing) return run_index(index);
    if (*removing) return run_remove(remove);
    if (*searching) return run_search(search);
    if (*asking) return run_ask(ask);
    if (*summarising) return run_summarise(summarise);
    if (*embedding) return run_embed(embed);
    if (*copying) return run_copy(copy);
    if (*questioning) return run_questions(questions);
    if (*allowing) return run_allow(allow);
    return run_eval(eval);
  });
}
