// Search over vectors in memory, timed: milliseconds, best of several runs, as JSON.
//
//   retrieval                                  100,000 x 384 vectors around 2,000 centres, every core
//   retrieval DIRECTORY WIDTH THREADS [graph]  vectors.f32 [N, WIDTH] and queries.f32 [Q, WIDTH] of DIRECTORY, for
//                                              compare.py, which times other libraries beside it; with the ids found
//
// `graph` adds the HNSW index.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "graft/core/file.hpp"
#include "graft/core/json.hpp"
#include "graft/retrieval/exact.hpp"
#include "graft/retrieval/hnsw.hpp"

namespace {

using graft::Json;

std::vector<float> read_floats(const std::string& path) {
  const graft::InputFile file(path);
  std::vector<float> out(file.size() / sizeof(float));
  file.read_at(0, std::as_writable_bytes(std::span(out)));
  return out;
}

template <class Work>
double milliseconds(int runs, const Work& work) {
  double best = 1e300;
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// Bytes read per second by plain sums over `data`, on `threads` threads.
double bandwidth(const std::vector<float>& data, std::size_t threads) {
  std::vector<double> sums(threads);
  const double time = milliseconds(7, [&] {
    graft::detail::on_threads(threads, [&](std::size_t part) {
      const std::size_t begin = data.size() / threads * part, end = data.size() / threads * (part + 1);
      typedef long long Wide __attribute__((vector_size(64)));
      Wide sum[4] = {};
      for (std::size_t i = begin; i + 64 <= end; i += 64)
        for (std::size_t s = 0; s < 4; ++s) {
          Wide here;
          std::memcpy(&here, data.data() + i + 16 * s, sizeof here);
          sum[s] += here;
        }
      sums[part] = static_cast<double>(sum[0][0] + sum[1][1] + sum[2][2] + sum[3][3]);
    });
  });
  return sums[0] == 0.5 ? 0 : static_cast<double>(data.size() * sizeof(float)) / time * 1e3;
}

/// [count, width], each around one of `centres`.
std::vector<float> clustered(std::size_t count, std::size_t width, const std::vector<float>& centres,
                             std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> noise;
  std::vector<float> out(count * width);
  for (std::size_t i = 0; i < count; ++i) {
    const float* centre = centres.data() + random() % (centres.size() / width) * width;
    for (std::size_t c = 0; c < width; ++c) out[i * width + c] = centre[c] + 0.7f * noise(random);
  }
  return out;
}

Json ids_of(const std::vector<std::vector<graft::Scored>>& found) {
  Json out = Json::array();
  for (const auto& ranking : found) {
    Json ids = Json::array();
    for (const graft::Scored& entry : ranking) ids.push_back(entry.id - 1);
    out.push_back(std::move(ids));
  }
  return out;
}

}  // namespace

int main(int count, char** arguments) {
  const bool given = count >= 4;
  const std::int64_t width = given ? std::atol(arguments[2]) : 384;
  const auto threads = given ? static_cast<unsigned>(std::atoi(arguments[3])) : std::thread::hardware_concurrency();
  const auto wide = static_cast<std::size_t>(width);
  std::vector<float> vectors, queries;
  if (given) {
    vectors = read_floats(std::string(arguments[1]) + "/vectors.f32");
    queries = read_floats(std::string(arguments[1]) + "/queries.f32");
  } else {
    const auto origin = std::vector<float>(wide);
    const auto centres = clustered(2000, wide, origin, 1);
    vectors = clustered(100'000, wide, centres, 2);
    queries = clustered(256, wide, centres, 3);
  }
  std::vector<graft::PassageId> ids(vectors.size() / wide);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<graft::PassageId>(i + 1);
  const std::span<const float> all(queries), batch = all.first(std::min<std::size_t>(all.size(), 256 * wide));
  const graft::VectorSpace space{"benchmark", width, graft::Metric::cosine};

  Json out = {{"vectors", ids.size()}, {"bandwidth", bandwidth(vectors, threads)}};
  for (const auto storage : {graft::VectorStorage::float32, graft::VectorStorage::float16}) {
    graft::ExactIndex index(space, {.storage = storage, .threads = threads});
    index.add(ids, vectors);
    std::vector<std::vector<graft::Scored>> found;
    Json here;
    std::size_t next = 0;
    here["one"] = milliseconds(30, [&] { found = index.search(all.subspan(next++ % 64 * wide, wide), 10); });
    here["batch"] = milliseconds(5, [&] { found = index.search(batch, 10); });
    if (given) here["ids"] = ids_of(found);
    out[storage == graft::VectorStorage::float32 ? "float32" : "float16"] = std::move(here);
  }
  if (count > 4) {
    graft::HnswIndex index(space, {.threads = threads});
    out["graph_build"] = milliseconds(1, [&] { index.add(ids, vectors); });
    for (const std::size_t ef : {16, 32, 64}) {
      index.set_ef_search(ef);
      std::vector<std::vector<graft::Scored>> found(256);
      const double time = milliseconds(3, [&] {
        for (std::size_t q = 0; q < 256; ++q) found[q] = index.search(all.subspan(q * wide, wide), 10)[0];
      });
      out["graph"][std::to_string(ef)] = {{"one", time / 256}, {"ids", ids_of(found)}};
    }
  }
  std::cout << out << "\n";
}
