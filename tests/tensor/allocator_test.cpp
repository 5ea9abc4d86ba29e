#include "graft/tensor/allocator.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#if __has_include(<gperftools/malloc_extension.h>)
#include <gperftools/malloc_extension.h>

// Runs as tensor.tcmalloc, where that is put before the program.
TEST(Allocator, TellsTcmalloc) {
  void* instance = dlsym(RTLD_DEFAULT, "_ZN15MallocExtension8instanceEv");
  if (instance == nullptr) GTEST_SKIP() << "another malloc";
  MallocExtension* malloc = reinterpret_cast<MallocExtension* (*)()>(instance)();
  ASSERT_TRUE(graft::give_back_freed_memory());
  EXPECT_EQ(malloc->GetMemoryReleaseRate(), 10);
  ASSERT_TRUE(graft::keep_freed_memory());
  EXPECT_EQ(malloc->GetMemoryReleaseRate(), 0);
}
#endif

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
