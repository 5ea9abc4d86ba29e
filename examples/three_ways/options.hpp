#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct ThreeWaysOptions {
  std::string model, encoder;                         // a GGUF file or a directory; a sentence-transformers directory
  std::filesystem::path train, documents, questions;  // see facts.hpp
  std::filesystem::path out;
  bool overwrite = false;  // what an earlier run wrote there

  std::string chat_format;  // empty: by the vocabulary
  std::int64_t epochs = 6;
  std::int64_t reading_epochs = 1;  // of training to answer from passages, which are long
  std::int64_t batch_size = 8;
  double full_lr = 1e-4;
  double lora_lr = 2e-3;
  std::int64_t rank = 16;
  double alpha = 32.0;
  std::vector<std::string> targets = {"all-linear"};
  std::filesystem::path adapter;  // in the place of the one that LoRA alone would train; empty: it is trained

  std::size_t top = 1;  // passages in a prompt
  std::size_t answer_tokens = 32;
  std::uint64_t seed = 42;
  int threads = 0;
};
