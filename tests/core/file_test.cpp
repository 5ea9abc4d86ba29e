#include "graft/core/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "graft/core/output.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

TEST(InputFile, ReadsAtOffsets) {
  const TemporaryDirectory directory;
  write_file(directory / "a", "0123456789");
  const InputFile file(directory / "a");
  EXPECT_EQ(file.size(), 10u);
  std::string bytes(4, ' ');
  file.read_at(3, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(bytes, "3456");
  file.read_at(10, {});
  EXPECT_EQ(error_message([&] { file.read_at(8, std::as_writable_bytes(std::span(bytes))); }),
            "FileError: cannot read \"" + (directory / "a").string() +
                "\": it ends before byte 10, and 2 more bytes were wanted; was it changed while it was open?");
  EXPECT_THROW(file.read_at(UINT64_MAX, std::as_writable_bytes(std::span(bytes))), FileError);
}

TEST(InputFile, TakesRegularFilesOnly) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  const auto error = [&](const fs::path& path) { return error_message([&] { InputFile file(path); }); };
  EXPECT_EQ(error(directory / "fifo"),
            "FileError: cannot read \"" + (directory / "fifo").string() + "\": it is not a regular file");
  EXPECT_EQ(error(directory.path()), "FileError: cannot read \"" + directory.path().string() + "\": it is a directory");
  EXPECT_EQ(error("/dev/zero"), "FileError: cannot read \"/dev/zero\": it is not a regular file");
  EXPECT_EQ(error(directory / "gone"),
            "FileError: cannot open \"" + (directory / "gone").string() + "\": No such file or directory");
}

TEST(ReadFile, RefusesMoreThanItsLimit) {
  const TemporaryDirectory directory;
  write_file(directory / "a", "0123456789");
  EXPECT_EQ(read_file(directory / "a", 10), "0123456789");
  EXPECT_EQ(error_message([&] { read_file(directory / "a", 9); }),
            "FormatError: " + (directory / "a").string() + ": has 10 bytes, more than the limit of 9");
}

TEST(ListDirectory, SortsAndSaysWhatIsWrong) {
  const TemporaryDirectory directory;
  write_file(directory / "b", "");
  fs::create_directory(directory / "a");
  EXPECT_EQ(list_directory(directory.path()), (std::vector<fs::path>{directory / "a", directory / "b"}));
  EXPECT_EQ(error_message([&] { list_directory(directory / "b"); }),
            "FileError: cannot list \"" + (directory / "b").string() + "\": Not a directory");
}

TEST(PathExists, FollowsLinksAndThrowsWhereItCannotSay) {
  const TemporaryDirectory directory;
  fs::create_symlink("gone", directory / "link");
  EXPECT_FALSE(path_exists(directory / "link"));
  EXPECT_TRUE(path_exists(directory.path()));
  EXPECT_TRUE(directory_exists(directory.path()));
  EXPECT_FALSE(directory_exists(directory / "gone"));
  const std::string name(300, 'x');
  EXPECT_EQ(error_message([&] { path_exists(name); }),
            "FileError: cannot examine \"" + name + "\": File name too long");
}

}  // namespace
}  // namespace graft
