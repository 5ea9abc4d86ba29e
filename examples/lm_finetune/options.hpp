#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Which language model, and how it is spoken to.
struct LanguageOptions {
  std::string model, adapter;  // --adapter may be empty
  std::string chat_format;     // empty: as the vocabulary tells
};

/// What is trained: every weight, or low-rank adapters beside frozen weights.
enum class Method { full, lora };

/// What is learned of rows with a better and a worse answer.
enum class PreferenceKind { dpo, dpo_norm, ipo };

struct TrainOptions {
  LanguageOptions language;
  std::string train, dev;
  std::string learn = "answers";
  std::size_t max_length = 1024, overlap = 64;
  bool skip_bad_rows = false;

  Method method = Method::lora;
  std::string dtype = "float32";
  std::int64_t rank = 8;
  double alpha = 16.0, dropout = 0.0;
  std::vector<std::string> targets = {"all-linear"};

  PreferenceKind preference = PreferenceKind::dpo;
  double beta = 0.1, label_smoothing = 0.0, sft_weight = 0.0;

  std::optional<double> lr;  // 5e-5 in full, 5e-4 with LoRA, a tenth of these for preferences
  double warmup = 0.1, weight_decay = 0.0;
  std::int64_t epochs = 2, batch_size = 8, accumulate = 1;
  std::optional<std::int64_t> evaluate_every;  // steps
  bool checkpoint_layers = false;
  std::int64_t samples = 2;
  std::uint64_t seed = 42;

  std::string out, json, log, tensorboard, checkpoints;
  bool overwrite = false, look_only = false;
};

struct ChatOptions {
  LanguageOptions language;
  std::string system;
  double temperature = 0, top_p = 1;
  std::optional<std::uint64_t> seed;
  std::size_t answer_tokens = 512;
};

struct ScoreOptions {
  LanguageOptions language;
  std::string data, learn = "answers";
  std::size_t max_length = 1024;
  bool json = false, rows = false;
};

struct AnswerOptions {
  LanguageOptions language;
  std::string data, out;
  std::size_t answer_tokens = 256, batch_size = 16;
};

struct ExportOptions {
  LanguageOptions language;
  std::string gguf, merge;
  bool overwrite = false;
};

/// Each gives the program's exit code.
int run_train(const TrainOptions& options);
int run_chat(const ChatOptions& options);
int run_score(const ScoreOptions& options);
int run_answer(const AnswerOptions& options);
int run_export(const ExportOptions& options);
