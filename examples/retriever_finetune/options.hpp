#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "graft/adapters/kinds/lora.hpp"

namespace CLI {
class App;
}

enum class Side { query, both };
enum class Method { map, lora, full };

/// Which questions are trained on and judged by.
struct DataOptions {
  std::string pairs, held_out_pairs;
  std::string queries, relevant;
  double held_out = 0.1;
  std::size_t held_out_most = 500;
  bool skip_bad_rows = false;
  std::uint64_t seed = 0;

  void add_to(CLI::App& app);
};

struct FinetuneOptions : DataOptions {
  std::string store, model, out;
  bool json = false, overwrite = false;
  unsigned threads = 0;

  Side side = Side::query;
  Method method = Method::map;
  std::optional<std::size_t> epochs;  // unless given what suits the method
  std::optional<double> lr;
  std::size_t batch = 64;
  std::size_t part = 0;  // of a batch: so many texts have a graph at a time; 0: all
  std::optional<double> scale;
  double same_above = 0.95;
  std::optional<double> blend;  // share of what was trained; unless given what did best on the held-out questions
  std::size_t patience = 2;
  graft::LoraOptions lora{.rank = 32, .alpha = 64, .dropout = 0.1};
  std::size_t max_tokens = 128;
  std::size_t negatives = 0;
  bool merge = false;
};

int run_query_side(const FinetuneOptions& options);
int run_both_sides(const FinetuneOptions& options);
