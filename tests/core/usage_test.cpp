#include "graft/core/usage.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "graft/core/output.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

TEST(Usage, PeakMemoryGrowsWithWhatIsUsed) {
  const std::int64_t before = peak_memory_bytes();
  EXPECT_GT(before, 1 << 20);
  std::vector<char> used(std::size_t{256} << 20, 'x');
  EXPECT_GT(peak_memory_bytes(), std::int64_t{256} << 20) << used[5];
}

TEST(Usage, BytesOnDiskAreThoseOfTheFilesThatFit) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "a" / "b");
  write_file(directory / "one.safetensors", "12345");
  write_file(directory / "a" / "b" / "two.safetensors", "123");
  write_file(directory / "a" / "config.json", "{}");
  EXPECT_EQ(bytes_on_disk(directory.path()), 10);
  EXPECT_EQ(bytes_on_disk(directory.path(), ".safetensors"), 8);
  EXPECT_EQ(bytes_on_disk(directory / "nowhere"), 0);
}

}  // namespace
}  // namespace graft
