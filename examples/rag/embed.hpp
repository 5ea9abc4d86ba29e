#pragma once

// rag embed: texts to vectors, one a line.

#include <string>

struct EmbedOptions {
  std::string model, prompt;
  std::string out;
  int repeat = 1;
};

int run_embed(const EmbedOptions& options);
