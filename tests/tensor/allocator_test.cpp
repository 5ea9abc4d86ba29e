#include "graft/tensor/allocator.hpp"

#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

TEST(Allocator, KeepsFreedMemoryOnGlibc) {
#if defined(__GLIBC__)
  ASSERT_TRUE(graft::keep_freed_memory());
  // A block of 256 MiB now comes from the heap, not from a mapping of its own: glibc counts it there.
  const auto mapped = [] { return mallinfo2().hblks; };
  const auto before = mapped();
  void* block = std::malloc(std::size_t{256} << 20);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(mapped(), before);
  std::free(block);
#else
  EXPECT_FALSE(graft::keep_freed_memory());
#endif
}
