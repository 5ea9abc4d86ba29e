#include "graft/core/file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

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

TEST(OutputFile, AppearsOnlyOnCommit) {
  const TemporaryDirectory directory;
  write_file(directory / "a", "old");
  {
    OutputFile file(directory / "a");
    file.write("new");
    EXPECT_EQ(read_file(directory / "a", 10), "old");
  }
  EXPECT_EQ(read_file(directory / "a", 10), "old");
  EXPECT_EQ(entries(directory.path()), 1u) << "an abandoned file leaves nothing behind";
  OutputFile file(directory / "a");
  file.write("new ");
  file.write("text");
  file.commit();
  EXPECT_EQ(read_file(directory / "a", 10), "new text");
  EXPECT_EQ(entries(directory.path()), 1u);
  EXPECT_THROW(file.commit(), StateError);
}

TEST(OutputFile, FollowsTheUmask) {
  const TemporaryDirectory directory;
  const mode_t before = ::umask(027);
  write_file(directory / "a", "x");
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((directory / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(OutputFile, RefusesADirectoryAndAMissingParent) {
  const TemporaryDirectory directory;
  EXPECT_EQ(error_message([&] { write_file(directory.path(), "x"); }),
            "FileError: cannot write \"" + directory.path().string() + "\": it is a directory");
  EXPECT_EQ(error_message([&] { write_file(directory.path() / "no" / "a", "x"); }),
            "FileError: cannot create a file beside \"" + (directory.path() / "no" / "a").string() +
                "\": No such file or directory");
}

TEST(OutputFile, ReplacesALinkAndNotItsTarget) {
  const TemporaryDirectory directory;
  write_file(directory / "target", "kept");
  fs::create_symlink("target", directory / "link");
  write_file(directory / "link", "new");
  EXPECT_EQ(read_file(directory / "target", 10), "kept");
  EXPECT_EQ(read_file(directory / "link", 10), "new");
}

TEST(OutputDirectory, AppearsWholeOrNotAtAll) {
  const TemporaryDirectory directory;
  {
    OutputDirectory out(directory.path() / "deep" / "model");
    write_file(out.path() / "config.json", "{}");
  }
  EXPECT_EQ(entries(directory / "deep"), 0u);
  OutputDirectory out(directory.path() / "deep" / "model/");
  write_file(out.path() / "config.json", "{}");
  fs::create_directory(out.path() / "sub");
  write_file(out.path() / "sub" / "a", "x");
  EXPECT_FALSE(fs::exists(directory.path() / "deep" / "model"));
  out.commit();
  EXPECT_EQ(read_file(directory.path() / "deep" / "model" / "sub" / "a", 10), "x");
  EXPECT_EQ(entries(directory / "deep"), 1u);
  EXPECT_THROW(out.commit(), StateError);
}

TEST(OutputDirectory, ReplacesOnlyWhatItWasToldTo) {
  const TemporaryDirectory directory;
  const fs::path model = directory / "model";
  fs::create_directory(model);
  {
    OutputDirectory out(model);  // an empty one may be there
    write_file(out.path() / "config.json", "old");
    out.commit();
  }
  write_file(model / "stale", "x");
  EXPECT_EQ(error_message([&] { OutputDirectory out(model); }),
            "OptionError: the directory \"" + model.string() + "\" is not empty; name a new one or empty it");
  EXPECT_EQ(error_message([&] { OutputDirectory out(model, "adapter_config.json"); }),
            "OptionError: the directory \"" + model.string() +
                "\" is not empty and holds no adapter_config.json; name a new one or empty it");
  OutputDirectory out(model, "config.json");
  write_file(out.path() / "config.json", "new");
  EXPECT_EQ(read_file(model / "config.json", 10), "old");
  out.commit();
  EXPECT_EQ(read_file(model / "config.json", 10), "new");
  EXPECT_FALSE(fs::exists(model / "stale"));
  EXPECT_EQ(entries(directory.path()), 1u);
  EXPECT_EQ(error_message([&] { OutputDirectory again(model / "config.json"); }),
            "OptionError: \"" + (model / "config.json").string() + "\" is a file; name a directory");
}

TEST(OutputDirectory, WantsAName) {
  EXPECT_EQ(error_message([] { OutputDirectory out(""); }), "OptionError: the name of the directory to write is empty");
  EXPECT_THROW(OutputDirectory out("/"), OptionError);
}

TEST(OutputDirectory, KeepsWhatAppearedWhileItWasFilled) {
  const TemporaryDirectory directory;
  OutputDirectory out(directory / "model");
  fs::create_directory(directory / "model");
  write_file(directory.path() / "model" / "theirs", "x");
  EXPECT_THROW(out.commit(), OptionError);
  EXPECT_EQ(read_file(directory.path() / "model" / "theirs", 10), "x");
}

}  // namespace
}  // namespace graft
