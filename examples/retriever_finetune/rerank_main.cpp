// A reranker from pairs of question and answer, with wrong answers that a search takes for right ones.
//
//   retriever_finetune rerank --model all-MiniLM-L6-v2 --store my.db --pairs pairs.jsonl --out reranker
//   rag search "..." --store my.db --rerank reranker

#include <ATen/Parallel.h>

#include "cli.hpp"
#include "rerank.hpp"

int rerank_main(int argc, char** argv) {
  CLI::App app(
      "Trains a cross-encoder, which reads question and passage together, to put the hits of a search in order. Wrong "
      "passages come from the store: what a search takes for an answer and is none.");
  app.name("retriever_finetune rerank");
  app.get_formatter()->column_width(34);
  RerankTraining options;
  int threads = 0;
  std::string method = "full", loss = "listwise";
  app.add_option(
         "--model", options.model,
         "what to begin with: a cross-encoder, or an encoder (transformers or sentence-transformers), which gets "
         "a new head")
      ->required();
  app.add_option("--store", options.store, "file, or postgresql://user@host/database[?schema=NAME]; holds the answers")
      ->required();
  app.add_option("--out", options.out, "directory for the cross-encoder")->required();
  app.add_flag("--overwrite", options.overwrite, "replace what this program wrote there, nothing else");
  app.add_option("--encoder", options.encoder, "the model of the store's vectors, if it lies elsewhere by now");
  options.add_to(app);
  app.add_option("--most-questions", options.most_questions, "train on so many at most; 0: all")->capture_default_str();

  app.add_option("--mode", options.mode, "of the search whose hits are ranked: hybrid, dense (vectors) or bm25 (words)")
      ->check(CLI::IsMember({"hybrid", "dense", "bm25"}))
      ->capture_default_str();
  options.questions.add_encoding_to(app);
  app.add_option("--depth", options.depth, "hits of a search that are ranked, to judge by")
      ->check(whole_number(1, 10'000))
      ->capture_default_str();
  app.add_option("--negatives", options.negatives, "wrong passages for a question")
      ->check(whole_number(1, 1000))
      ->capture_default_str();
  app.add_option("--last-rank", options.last_rank, "they are among the first so many hits")
      ->check(whole_number(1, 10'000))
      ->capture_default_str();
  app.add_option("--most-share", options.most_share,
                 "a passage nearer than this share of the right one's similarity may be an answer too, and is left out")
      ->check(number(0))
      ->capture_default_str();

  app.add_option("--method", method, "full: every weight; lora: an adapter, merged into what is saved")
      ->check(CLI::IsMember({"full", "lora"}))
      ->capture_default_str();
  app.add_option("--rank", options.lora_options.rank, "of the adapter")->capture_default_str();
  app.add_option("--alpha", options.lora_options.alpha, "of the adapter")->capture_default_str();
  app.add_option("--dropout", options.lora_options.dropout, "of the adapter")->capture_default_str();
  app.add_option("--loss", loss, "listwise: which passage of a list is right; pointwise: whether each is right")
      ->check(CLI::IsMember({"listwise", "pointwise"}))
      ->capture_default_str();
  app.add_option(
         "--epochs", options.epochs,
         "times each question is seen; 0: train nothing, learn only how the scores of --model and of the search are "
         "joined")
      ->check(whole_number(0, 1000))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "questions in a step, each with its passages")
      ->check(whole_number(1, 10'000))
      ->capture_default_str();
  app.add_option("--lr", options.lr, "learning rate; 5e-5, or 5e-4 of an adapter, unless given")
      ->check(number(0, 1, true));
  app.add_option("--max-tokens", options.max_tokens,
                 "of question and passage together, the rest is not read; what the model says unless given")
      ->check(whole_number(5, 100'000));
  app.add_option("--seed", options.seed, "of the held-out part, the new head and the order")->capture_default_str();
  app.add_flag("--calibrate", options.calibrate,
               "make scores chances, by the held-out questions: of passages with 0.8, eight in ten answer");
  app.add_option("--threads", threads, "0: one for each core")->check(thread_count())->capture_default_str();
  app.add_flag("--json", options.json, "print JSON");

  return run_cli("retriever_finetune", app, argc, argv, [&] {
    if (options.pairs.empty() && options.queries.empty())
      throw CLI::RequiredError("--pairs, or --queries and --relevant");
    options.lora = method == "lora";
    options.pointwise = loss == "pointwise";
    if (threads > 0) at::set_num_threads(threads);
    return run_rerank_training(options);
  });
}
