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
