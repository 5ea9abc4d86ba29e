// Fine-tunes a language model on conversations, texts or preferences, talks with it, scores it, and exports what it
// learned.
//
//   lm_finetune train --model MODEL --train chat.jsonl --dev dev.jsonl --out adapter
//   lm_finetune chat --model MODEL --adapter adapter

#include <map>
#include <string>

#include <ATen/Parallel.h>

#include "cli.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/version.hpp"
#include "options.hpp"

namespace {

void add_language(CLI::App& command, LanguageOptions& language) {
  command.add_option("--model", language.model, "a GGUF file or a Hugging Face directory")->required();
  command.add_option("--adapter", language.adapter, "PEFT directory of an adapter that was trained on it");
  command.add_option("--chat-format", language.chat_format,
                     "how it has conversations written, where its vocabulary does not tell: chatml, smollm2, qwen2, "
                     "qwen2.5, llama2, llama3 or gemma");
}

void add_learn(CLI::App& command, std::string& learn, std::size_t& max_length) {
  command
      .add_option("--learn", learn, "answers: what the assistant says; last: its last answer alone; all: every token")
      ->check(CLI::IsMember({"answers", "last", "all"}))
      ->capture_default_str();
  command.add_option("--max-length", max_length, "tokens of a row; what is longer is cut")
      ->check(whole_number(2))
      ->capture_default_str();
}

void add_train(CLI::App& command, TrainOptions& options) {
  add_language(command, options.language);
  command.get_option("--adapter")->description("go on from this adapter; of preferences it is the reference too");
  command
      .add_option("--train", options.train,
                  "rows to learn from: .jsonl, .json, .csv, .tsv or .txt with messages; prompt and completion; text; "
                  "instruction, input and output; conversations; or prompt, chosen and rejected")
      ->required();
  command.add_option("--dev", options.dev,
                     "rows of the same form to evaluate on; the best evaluation's weights are kept");
  add_learn(command, options.learn, options.max_length);
  command
      .add_option("--overlap", options.overlap, "form text: tokens that a window reads again from the one before it")
      ->check(whole_number(0))
      ->capture_default_str();
  command.add_flag("--skip-bad-rows", options.skip_bad_rows,
                   "count rows that cannot be read instead of stopping at them");
  command.add_flag("--look", options.look_only, "say what would be learned, and train nothing");

  command.add_option("--method", options.method, "lora: an adapter; full: every weight")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Method>{{"full", Method::full}, {"lora", Method::lora}}))
      ->default_str("lora");
  command.add_option("--dtype", options.dtype, "of weights and activations")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  command.add_option("--rank", options.rank, "LoRA: rank of A and B")->check(whole_number(1))->capture_default_str();
  command.add_option("--alpha", options.alpha, "LoRA: the update is scaled by alpha / rank")
      ->check(number(0, 1e9))
      ->capture_default_str();
  command.add_option("--dropout", options.dropout, "LoRA: dropout before A")
      ->check(number(0, 0.99))
      ->capture_default_str();
  command.add_option("--targets", options.targets, "LoRA: layers by name, or all-linear")
      ->delimiter(',')
      ->capture_default_str();

  for (const char* of_new_adapter : {"--rank", "--alpha", "--dropout", "--targets"})
    command.get_option(of_new_adapter)->excludes(command.get_option("--adapter"));

  command
      .add_option("--preference", options.preference,
                  "of rows with chosen and rejected: dpo; dpo-norm, by the mean of an answer's tokens; ipo")
      ->transform(CLI::CheckedTransformer(std::map<std::string, PreferenceKind>{
          {"dpo", PreferenceKind::dpo}, {"dpo-norm", PreferenceKind::dpo_norm}, {"ipo", PreferenceKind::ipo}}))
      ->default_str("dpo");
  command.add_option("--beta", options.beta, "how dearly leaving the reference is paid")
      ->check(number(0, 1e6, /*above=*/true))
      ->capture_default_str();
  command
      .add_option("--label-smoothing", options.label_smoothing,
                  "chance that chosen and rejected are the wrong way round")
      ->check(number(0, 0.499))
      ->capture_default_str();
  command.add_option("--sft-weight", options.sft_weight, "of the chosen answers' own loss, beside the preference's")
      ->check(number(0, 1e6))
      ->capture_default_str();

  command
      .add_option("--lr", options.lr,
                  "peak learning rate; 5e-4 for lora, 5e-5 for full unless given, a tenth of it for preferences")
      ->check(number(0, HUGE_VAL, /*above=*/true));
  command.add_option("--warmup", options.warmup, "share of the steps in which it rises")
      ->check(number(0, 1))
      ->capture_default_str();
  command.add_option("--weight-decay", options.weight_decay, "of matrices")->check(number(0))->capture_default_str();
  command.add_option("--epochs", options.epochs, "passes over the rows")->check(whole_number(1))->capture_default_str();
  command.add_option("--batch-size", options.batch_size, "rows of a forward pass")
      ->check(whole_number(1))
      ->capture_default_str();
  command.add_option("--accumulate", options.accumulate, "forward passes of a step")
      ->check(whole_number(1))
      ->capture_default_str();
  command.add_option("--evaluate-every", options.evaluate_every, "steps between evaluations; an epoch unless given")
      ->check(whole_number(1));
  command.add_flag("--checkpoint-layers", options.checkpoint_layers,
                   "keep little for backward and compute layers twice: less memory, more time");
  command.add_option("--samples", options.samples, "answers to so many rows of --dev are shown at each evaluation")
      ->check(whole_number(0, 100))
      ->capture_default_str();
  command.add_option("--seed", options.seed, "of A, the order of rows and dropout")->capture_default_str();

  command.add_option("--out", options.out, "where to save: a PEFT adapter directory (lora), a model directory (full)");
  command.add_option("--json", options.json, "write the figures of the run to this file");
  command.add_option("--log", options.log, "write each step to this file, a JSON line each");
  command.add_option("--tensorboard", options.tensorboard, "write each step for TensorBoard into this directory");
  command.add_option("--checkpoints", options.checkpoints,
                     "keep the state of the run here, and go on from what is here already");
  command.add_flag("--overwrite", options.overwrite,
                   "replace what an earlier run wrote to --out and --json, nothing else");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Fine-tunes a language model of one's own: trains it, talks with it, scores it, exports what it learned.");
  app.set_version_flag("--version", GRAFT_VERSION);
  app.get_formatter()->column_width(34);
  app.require_subcommand(1);
  int threads = 0;

  TrainOptions train;
  CLI::App* training = app.add_subcommand("train", "Learns from rows of a file.");
  add_train(*training, train);

  ChatOptions chat;
  CLI::App* chatting = app.add_subcommand("chat", "A conversation in the terminal; from a file, a question a line.");
  add_language(*chatting, chat.language);
  chatting->add_option("--system", chat.system, "how it is to answer");
  chatting->add_option("--temperature", chat.temperature, "0: always the likeliest words")
      ->check(number(0, 100))
      ->capture_default_str();
  chatting->add_option("--top-p", chat.top_p, "of the likeliest words that have this chance together")
      ->check(number(0, 1, /*above=*/true))
      ->capture_default_str();
  chatting->add_option("--seed", chat.seed, "of the choice of words; another each time unless given");
  chatting->add_option("--answer-tokens", chat.answer_tokens, "tokens of the longest answer")
      ->check(whole_number(1))
      ->capture_default_str();

  ScoreOptions score;
  CLI::App* scoring = app.add_subcommand("score", "Loss and perplexity of rows: how likely it holds their answers.");
  add_language(*scoring, score.language);
  scoring->add_option("--data", score.data, "rows, in any form that train takes")->required();
  add_learn(*scoring, score.learn, score.max_length);
  scoring->add_flag("--rows", score.rows, "a line for each row too");
  scoring->add_flag("--json", score.json, "print JSON");

  AnswerOptions answer;
  CLI::App* answering =
      app.add_subcommand("answer", "Answers the last question of each row of a file, without sampling.");
  add_language(*answering, answer.language);
  answering->add_option("--data", answer.data, "rows of conversations; their own last answer is left out")->required();
  answering->add_option("--out", answer.out, "a new file of JSON lines: prompt, expected, answer")->required();
  answering->add_option("--answer-tokens", answer.answer_tokens, "tokens of the longest answer")
      ->check(whole_number(1))
      ->capture_default_str();
  answering->add_option("--batch-size", answer.batch_size, "rows that are answered together")
      ->check(whole_number(1, 4096))
      ->capture_default_str();

  ExportOptions exported;
  CLI::App* exporting = app.add_subcommand("export", "Writes an adapter for llama.cpp, or one whole model.");
  add_language(*exporting, exported.language);
  exporting->add_option("--gguf", exported.gguf, "the adapter as a GGUF file, for llama.cpp's --lora");
  exporting->add_option("--merge", exported.merge, "the model with the adapter in it: a Hugging Face directory");
  exporting->add_flag("--overwrite", exported.overwrite, "replace what this program wrote there, nothing else");

  for (CLI::App* command : {training, chatting, scoring, answering, exporting})
    command->add_option("--threads", threads, "0: one for each core")->check(thread_count())->capture_default_str();

  return run_cli("lm_finetune", app, argc, argv, [&] {
    if (*training && train.checkpoint_layers)
      graft::give_back_freed_memory();  // who asks for this would rather wait than have more memory taken
    else
      graft::keep_freed_memory();
    if (threads > 0) at::set_num_threads(threads);
    if (*training) return run_train(train);
    if (*chatting) return run_chat(chat);
    if (*scoring) return run_score(score);
    if (*answering) return run_answer(answer);
    return run_export(exported);
  });
}
