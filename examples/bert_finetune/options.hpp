#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What is trained: every weight, or low-rank adapters beside frozen weights.
enum class Method { full, lora };

struct FinetuneOptions {
  std::string model, train, dev, test;  // --dev and --test may be empty
  std::string text_column = "text";
  std::string label_column = "label";
  Method method = Method::full;
  std::string dtype = "float32";
  std::int64_t rank = 8;
  double alpha = 16.0, dropout = 0.1;
  std::vector<std::string> targets = {"query", "value"};
  std::optional<double> lr;  // 1e-4 in full, 1e-3 with LoRA
  double warmup = 0.06;
  double weight_decay = 0.0;
  std::int64_t epochs = 2;
  std::int64_t batch_size = 32;
  std::size_t max_length = 128;
  std::uint64_t seed = 42;
  std::string out, json, checkpoints;
  bool overwrite = false;
};

struct PredictOptions {
  std::string model, adapter, dtype = "float32";
  std::size_t max_length = 128;
  bool json = false;
};

/// Both give the program's exit code.
int run_finetune(const FinetuneOptions& options);
int run_predict(const PredictOptions& options);
