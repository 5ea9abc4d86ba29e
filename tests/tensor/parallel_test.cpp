#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <ATen/Parallel.h>

#include "graft/tensor/parallel.hpp"

namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(2); }
  void TearDown() override { at::set_num_threads(before_); }
  int before_ = at::get_num_threads();
};

TEST_F(Parallel, CoversTheRangeOnce) {
  for (const std::int64_t n : {0, 1, 2, 7, 1000}) {
    std::vector<int> visits(static_cast<std::size_t>(n));
    graft::parallel_for(n, 3, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    EXPECT_EQ(visits, std::vector<int>(visits.size(), 1)) << n;
  }
}

TEST_F(Parallel, TasksRunOnceEach) {
  for (const std::int64_t n : {0, 1, 2, 7, 100}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
    graft::parallel_tasks(n, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
    for (const auto& count : visits) EXPECT_EQ(count, 1) << n;
  }
}

// What at::parallel_for does not do in a file compiled without -fopenmp, as this one is.
TEST_F(Parallel, UsesTheThreadsOfLibTorch) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> arrived = 0;
  graft::parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();  // for ever, if one thread took both pieces
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
}

TEST_F(Parallel, StaysOnItsThreadWithinAParallelRegion) {
  std::atomic<int> pieces = 0;
  graft::parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    graft::parallel_for(100, 1, [&](std::int64_t first, std::int64_t last) {
      EXPECT_EQ(last - first, 100);
      ++pieces;
    });
  });
  EXPECT_EQ(pieces, 2);
}

TEST_F(Parallel, AnExceptionOfAPieceArrives) {
  EXPECT_THROW(graft::parallel_for(100, 1,
                                   [](std::int64_t first, std::int64_t) {
                                     if (first == 50) throw std::runtime_error("piece");
                                   }),
               std::runtime_error);
}

}  // namespace
