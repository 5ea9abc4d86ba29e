#include "graft/core/hash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace graft {
namespace {

TEST(Sha256, DigestsAreThoseOfFips180) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

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

TEST(Checksum, DependsOnTheBytesAndNotOnTheirPieces) {
  const std::string text(100, 'a');
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Checksum sum;
    sum.add(std::string_view(text).substr(0, cut));
    sum.add(std::string_view(text).substr(cut));
    EXPECT_EQ(sum.value(), fingerprint(text)) << cut;
    if (cut < text.size()) {
      EXPECT_NE(fingerprint(text.substr(0, cut)), fingerprint(text)) << cut;
    }
  }
  EXPECT_NE(fingerprint(std::string(1, '\0')), fingerprint(""));
}

}  // namespace
}  // namespace graft
