// Lets a retriever learn the questions that it is asked.
//
// The questions' side alone, so that what is stored stays as it is: a linear map of the question's vector, or LoRA.
//   retriever_finetune --store my.db --pairs pairs.jsonl --out map.safetensors
//   retriever_finetune --store my.db --pairs pairs.jsonl --method lora --out adapter
//   rag search "..." --store my.db --query-adapter map.safetensors
// Both sides, so that the documents are indexed anew:
//   retriever_finetune --model MODEL --pairs pairs.jsonl --side both --method full --out model
// A reranker of what a search finds: retriever_finetune rerank.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <ATen/Parallel.h>

#include "cli.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/version.hpp"
#include "options.hpp"
#include "rerank.hpp"

namespace {

void add_training(CLI::App& app, FinetuneOptions& options) {
  app.add_option("--epochs", options.epochs, "times each question is seen; 5, of both sides 1");
  app.add_option("--lr", options.lr, "learning rate; 1e-3 for map, 5e-4 for lora, 5e-5 for full");
  app.add_option("--batch", options.batch, "questions in a step")->check(whole_number(1))->capture_default_str();
  app.add_option("--scale", options.scale, "of scores in the softmax, 1 / temperature; 30, of both sides 20")
      ->check(number(0, HUGE_VAL, true));
  app.add_option("--same-above", options.same_above,
                 "a stored text as near as this to the right one (cosine) is no rival of it")
      ->capture_default_str();
  app.add_option("--blend", options.blend,
                 "share of what was trained that is kept, the rest being what was there; "
                 "unless given what did best on the held-out questions, of both sides all")
      ->check(number(0, 1, true));
  app.add_option("--patience", options.patience, "end after so many epochs that were no better; 0: never")
      ->capture_default_str();
  app.add_option("--rank", options.lora.rank, "of LoRA")->check(whole_number(1))->capture_default_str();
  app.add_option("--alpha", options.lora.alpha, "of LoRA")->check(number(0, 1e9, true))->capture_default_str();
  app.add_option("--dropout", options.lora.dropout, "of LoRA")->check(number(0, 0.999))->capture_default_str();
  app.add_option("--max-tokens", options.max_tokens, "of a text in training; the rest is cut off")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--negatives", options.negatives, "of each pair's wrong texts so many, with both sides")
      ->capture_default_str();
  app.add_option("--part", options.part,
                 "texts of a batch that have a graph at a time, for batches larger than "
                 "memory, with both sides; 0: all")
      ->capture_default_str();
  app.add_flag("--merge", options.merge, "write a whole model, not an adapter, with both sides and lora");
  app.add_option("--seed", options.seed, "of the held-out part and the order of questions")->capture_default_str();
}

/// What fits together.
void check(const FinetuneOptions& options) {
  const bool both = options.side == Side::both;
  if (options.pairs.empty() && (both || options.queries.empty()))
    throw CLI::RequiredError(both ? "--pairs" : "--pairs, or --queries and --relevant");
  if (!both && options.store.empty()) throw CLI::RequiredError("--store");
  if (both && options.model.empty()) throw CLI::RequiredError("--model");
  if (both && !options.store.empty())
    throw graft::OptionError(
        "--store has vectors that both sides would leave behind; leave it out, or train --side query");
  if (both && options.method == Method::map)
    throw graft::OptionError("a map is of the questions' side; with --side both choose --method lora or full");
  if (!both && options.method == Method::full)
    throw graft::OptionError("--method full changes both sides; choose map or lora, or --side both");
  if (options.merge && (!both || options.method != Method::lora))
    throw graft::OptionError("--merge is for --side both --method lora; leave it out");
}

}  // namespace

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  if (argc > 1 && std::string_view(argv[1]) == "rerank") return rerank_main(argc - 1, argv + 1);
  CLI::App app("Trains a retriever on questions with their answers, so that a search by vector finds more.");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.get_formatter()->column_width(34);
  FinetuneOptions options;
  app.add_option(
         "--side", options.side,
         "query: the documents of the store are not embedded again; both: they are, with the model that is written")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Side>{{"query", Side::query}, {"both", Side::both}}))
      ->default_str("query");
  app.add_option("--method", options.method,
                 "of query: map, a linear one of the vector, or lora; of both: lora or full")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Method>{{"map", Method::map}, {"lora", Method::lora}, {"full", Method::full}}))
      ->default_str("map");
  app.add_option("--store", options.store, "file, or postgresql://user@host/database[?schema=NAME]; holds the answers");
  app.add_option("--model", options.model, "a sentence-transformers directory; of query, if it lies elsewhere by now");
  app.add_option("--out", options.out, "the map, a file; or the directory of an adapter or a model")->required();
  app.add_flag("--overwrite", options.overwrite, "replace what an earlier run has written there, nothing else");
  options.add_to(app);
  add_training(app, options);
  app.add_option("--threads", options.threads, "0: one for each core")->check(thread_count())->capture_default_str();
  app.add_flag("--json", options.json, "print JSON");

  return run_cli("retriever_finetune", app, argc, argv, [&] {
    check(options);
    if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
    return options.side == Side::query ? run_query_side(options) : run_both_sides(options);
  });
}
