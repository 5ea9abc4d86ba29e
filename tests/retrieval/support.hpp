#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/retrieval/index.hpp"
#include "support/temporary_directory.hpp"

namespace graft::test {

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Expects `call` to throw an Expected whose message holds `part`.
template <class Expected = Error, class Call>
void expect_error(const Call& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const Expected& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nlacks: " << part;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "an error of another kind: " << error.what();
  }
}

inline std::vector<float> random_vectors(std::size_t count, std::int64_t width, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count * static_cast<std::size_t>(width));
  for (float& x : out) x = normal(random);
  return out;
}

inline std::vector<PassageId> ids_from(PassageId first, std::size_t count) {
  std::vector<PassageId> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = first + static_cast<PassageId>(i);
  return out;
}

/// The score that every index promises, in double precision.
inline double score(Metric metric, const float* a, const float* b, std::int64_t width) {
  double dot = 0, aa = 0, bb = 0;
  for (std::int64_t i = 0; i < width; ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  switch (metric) {
    case Metric::cosine:
      return dot / std::sqrt(aa) / std::sqrt(bb);
    case Metric::inner_product:
      return dot;
    case Metric::euclidean:
      return -(aa - 2 * dot + bb);
  }
  return 0;
}

}  // namespace graft::test
