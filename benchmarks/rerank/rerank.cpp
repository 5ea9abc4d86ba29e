// Scores passages by a cross-encoder: rerank DIRECTORY THREADS
// For each line {"question", "passages"} of standard input a line {"seconds", "scores"}.

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "graft/core/console.hpp"
#include "graft/core/json.hpp"
#include "graft/rag/cross_encoder.hpp"
#include "graft/tensor/allocator.hpp"

int main(int argc, char** argv) {
  return graft::run_program("rerank", [&] {
    if (argc != 3) throw graft::OptionError("usage: rerank DIRECTORY THREADS");
    graft::keep_freed_memory();
    at::set_num_threads(std::stoi(argv[2]));
    const graft::CrossEncoder encoder(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      const graft::Json asked = graft::parse_json(line, "standard input");
      const auto passages = asked["passages"].get<std::vector<std::string>>();
      const auto start = std::chrono::steady_clock::now();
      const std::vector<double> scores = encoder.score(asked["question"], passages);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      std::printf("%s\n", graft::Json({{"seconds", seconds.count()}, {"scores", scores}}).dump().c_str());
      std::fflush(stdout);
    }
    return 0;
  });
}
