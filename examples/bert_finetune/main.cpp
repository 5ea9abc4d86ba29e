// Fine-tunes a BERT to classify texts, in full or with LoRA, and classifies texts with what came of it.
//
//   bert_finetune --model DIR --train train.tsv --dev dev.tsv --test test.tsv --method lora --out adapter
//   bert_finetune predict --model DIR --adapter adapter < texts.txt

#include <map>
#include <string>

#include <ATen/Parallel.h>

#include "cli.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/version.hpp"
#include "options.hpp"

int main(int argc, char** argv) {
  graft::keep_freed_memory();
  CLI::App app(
      "Fine-tunes a BERT or RoBERTa to classify texts: every weight (--method full), or low-rank adapters beside "
      "frozen weights (--method lora).");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.get_formatter()->column_width(34);
  int threads = 0;

  FinetuneOptions finetune;
  app.add_option("--model", finetune.model, "Hugging Face directory of the pretrained model");
  app.add_option("--train", finetune.train, "labelled texts to learn from: .tsv, .csv or .jsonl");
  app.add_option("--dev", finetune.dev, "labelled texts to evaluate on after each epoch");
  app.add_option("--test", finetune.test, "labelled texts to evaluate on at the end");
  app.add_option("--text-column", finetune.text_column, "column of the text")->capture_default_str();
  app.add_option("--label-column", finetune.label_column, "column of the label")->capture_default_str();
  app.add_option("--method", finetune.method, "full or lora")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Method>{{"full", Method::full}, {"lora", Method::lora}}))
      ->default_str("full");
  app.add_option("--dtype", finetune.dtype,
                 "of weights and activations; bfloat16 is faster where the processor multiplies it, and less exact")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--rank", finetune.rank, "LoRA: rank of A and B")->check(whole_number(1))->capture_default_str();
  app.add_option("--alpha", finetune.alpha, "LoRA: the update is scaled by alpha / rank")
      ->check(number(0, 1e9))
      ->capture_default_str();
  app.add_option("--dropout", finetune.dropout, "LoRA: dropout before A")
      ->check(number(0, 0.99))
      ->capture_default_str();
  app.add_option("--targets", finetune.targets, "LoRA: layers by name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--lr", finetune.lr, "peak learning rate; 1e-4 for full, 1e-3 for lora unless given")
      ->check(number(0, HUGE_VAL, /*above=*/true));
  app.add_option("--warmup", finetune.warmup, "share of the steps in which the learning rate rises")
      ->check(number(0, 1))
      ->capture_default_str();
  app.add_option("--weight-decay", finetune.weight_decay, "of matrices; biases and norms have none")
      ->check(number(0))
      ->capture_default_str();
  app.add_option("--epochs", finetune.epochs, "passes over the training texts")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--batch-size", finetune.batch_size, "texts in a step")->check(whole_number(1))->capture_default_str();
  app.add_option("--max-length", finetune.max_length, "tokens of a text; longer ones are cut")
      ->check(whole_number(1))
      ->capture_default_str();
  app.add_option("--seed", finetune.seed, "of the new head, the order of texts and dropout")
      ->check(whole_number(0))
      ->capture_default_str();
  app.add_option("--threads", threads, "0: one for each core")->check(thread_count())->capture_default_str();
  app.add_option("--out", finetune.out, "where to save: a model directory (full), a PEFT adapter directory (lora)");
  app.add_option("--json", finetune.json, "write the figures of the run to this file");
  app.add_option("--checkpoints", finetune.checkpoints,
                 "keep the state of the run here, and go on from what is here already");
  app.add_flag("--overwrite", finetune.overwrite,
               "replace what an earlier run wrote to --out and --json, nothing else");

  PredictOptions predict;
  CLI::App* predicting = app.add_subcommand("predict", "Classifies texts: a line of standard input each.");
  predicting->add_option("--model", predict.model, "model directory")->required();
  predicting->add_option("--adapter", predict.adapter, "adapter directory, trained on this model");
  predicting->add_option("--dtype", predict.dtype, "of weights and activations")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  predicting->add_option("--max-length", predict.max_length, "tokens of a text; longer ones are cut")
      ->check(whole_number(1))
      ->capture_default_str();
  predicting->add_flag("--json", predict.json, "a JSON object a line: label, probabilities, logits");
  predicting->add_option("--threads", threads, "0: one for each core")->check(thread_count());

  return run_cli("bert_finetune", app, argc, argv, [&] {
    if (threads > 0) at::set_num_threads(threads);
    return *predicting ? run_predict(predict) : run_finetune(finetune);
  });
}
