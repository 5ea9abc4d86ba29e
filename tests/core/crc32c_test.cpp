#include "graft/core/crc32c.hpp"

#include <gtest/gtest.h>

#include <string>

namespace graft {
namespace {

TEST(Crc32c, SumsAreThoseOfRfc3720) {  // section B.4, whose sums are listed lowest byte first
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string up, down;
  for (char c = 0; c < 32; ++c) up += c, down.insert(down.begin(), c);
  EXPECT_EQ(crc32c(up), 0x46dd794eu);
  EXPECT_EQ(crc32c(down), 0x113fdb5cu);
  std::string command(48, '\0');  // of an iSCSI Read (10)
  command[0] = 0x01, command[1] = '\xc0', command[16] = 0x14, command[22] = 0x04, command[27] = 0x14;
  command[31] = 0x18, command[32] = 0x28, command[40] = 0x02;
  EXPECT_EQ(crc32c(command), 0xd9963a56u);
  EXPECT_EQ(crc32c(""), 0u);
}

}  // namespace
}  // namespace graft
