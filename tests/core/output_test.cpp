#include "graft/core/output.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/report.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
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

TEST(OutputFile, RefusesWhatIsNoFile) {
  const TemporaryDirectory directory;
  const auto error = [&](const fs::path& path) { return error_message([&] { write_file(path, "x"); }); };
  EXPECT_EQ(error(directory.path()),
            "OptionError: cannot write \"" + directory.path().string() + "\": it is a directory");
  EXPECT_EQ(error(directory.path() / "no" / "a"), "FileError: cannot create a file beside \"" +
                                                      (directory.path() / "no" / "a").string() +
                                                      "\": No such file or directory");
  write_file(directory / "target", "kept");
  fs::create_symlink("target", directory / "link");
  EXPECT_EQ(error(directory / "link"),
            "OptionError: cannot write \"" + (directory / "link").string() + "\": it is a link; name the file itself");
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  for (const fs::path& path : {fs::path("/dev/full"), directory / "fifo"})
    EXPECT_EQ(error(path),
              "OptionError: cannot write \"" + path.string() + "\": it is a device or a pipe; name a file");
  EXPECT_EQ(read_file(directory / "target", 10), "kept");
}

// A process that is killed leaves ".graft-0123456789abcdef"; nobody holds its lock any more.
TEST(Outputs, CleanWhatAKilledProcessLeft) {
  const TemporaryDirectory directory;
  const fs::path file = directory / ".graft-0123456789abcdef", full = directory / ".graft-fedcba9876543210";
  const auto leave = [&] {
    std::ofstream(file) << "half";
    fs::create_directory(full);
    std::ofstream(full / "model.safetensors") << "half";
  };
  std::ofstream(directory / ".graft-notes") << "mine";
  fs::create_symlink(directory / ".graft-notes", directory / ".graft-00000000000000aa");
  leave();
  write_file(directory / "a", "x");
  EXPECT_FALSE(fs::exists(file) || fs::exists(full));
  leave();
  OutputDirectory(directory / "model");
  EXPECT_FALSE(fs::exists(file) || fs::exists(full));
  EXPECT_TRUE(fs::exists(directory / ".graft-notes"));
  EXPECT_TRUE(fs::is_symlink(directory / ".graft-00000000000000aa"));
  // What is being written is locked, and left alone.
  OutputFile one(directory / "one");
  OutputDirectory two(directory / "two");
  write_file(two.path() / "b", "y");
  write_file(directory / "a", "z");
  one.write("whole");
  one.commit();
  two.commit();
  EXPECT_EQ(read_file(directory / "one", 10) + read_file(directory / "two" / "b", 10), "wholey");
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

TEST(OutputDirectory, ReplacesOnlyWhatItWroteItself) {
  const TemporaryDirectory directory;
  const fs::path model = directory / "model";
  const auto write = [&](bool replace, const char* text) {
    OutputDirectory out(model, replace);
    write_file(out.path() / "config.json", text);
    fs::create_directory(out.path() / "sub");
    write_file(out.path() / "sub" / "a", text);
    out.commit();
  };
  const auto refused = [&](const std::string& why) {
    const std::string error = error_message([&] { write(true, "lost"); });
    EXPECT_EQ(error, "OptionError: the directory \"" + model.string() + "\" is not overwritten: " + why +
                         "; move it away or name another");
  };
  fs::create_directory(model);
  write(false, "old");  // an empty one may be there
  EXPECT_EQ(error_message([&] { write(false, "lost"); }),
            "OptionError: the directory \"" + model.string() +
                "\" is there already and not empty; name a new one, or ask to overwrite it if graft wrote it");
  write(true, "new");
  EXPECT_EQ(read_file(model / "sub" / "a", 10), "new");

  const auto foreign = [&](const std::string& name) {
    refused("it holds \"" + name + "\", which graft did not write, or which has changed since");
  };
  write_file(model / "notes.txt", "mine");
  foreign("notes.txt");
  fs::remove(model / "notes.txt");
  fs::create_directory(model / "empty");
  foreign("empty");
  fs::remove(model / "empty");
  fs::create_symlink("config.json", model / "link");
  foreign("link");
  fs::remove(model / "link");
  write_file(model / "sub" / "a", "wen");  // as long as before
  foreign("sub/a");
  write_file(model / "sub" / "a", "new");
  fs::remove(model / "config.json");  // what is gone is not lost
  write(true, "again");
  EXPECT_EQ(read_file(model / "config.json", 10), "again");
  EXPECT_EQ(entries(directory.path()), 1u);

  fs::remove(model / ".graft_files");
  refused("it is not one that graft wrote");
  EXPECT_EQ(read_file(model / "config.json", 10), "again");
}

TEST(OutputDirectory, RefusesAFileAndALink) {
  const TemporaryDirectory directory;
  write_file(directory / "file", "x");
  fs::create_directory(directory / "there");
  fs::create_symlink("there", directory / "link");
  EXPECT_EQ(error_message([&] { OutputDirectory out(directory / "file"); }),
            "OptionError: \"" + (directory / "file").string() + "\" is a file; name a directory");
  EXPECT_EQ(error_message([&] { OutputDirectory out(directory / "link"); }),
            "OptionError: \"" + (directory / "link").string() + "\" is a link; name the directory itself");
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

TEST(CheckOutputApart, NamesWhatWouldBeWrittenOver) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "data");
  write_file(directory / "data" / "train.tsv", "x");
  fs::create_hard_link(directory / "data" / "train.tsv", directory / "same");
  const fs::path train = directory / "data" / "train.tsv";
  EXPECT_EQ(error_message([&] {
              check_output_apart(directory / "data", {"", train});
            }),
            "OptionError: \"" + (directory / "data").string() + "\" holds \"" + train.string() +
                "\", which this run uses too; name another output");
  for (const fs::path& output : {train, directory / "data" / ".." / "data" / "train.tsv", directory / "same"})
    EXPECT_THROW(check_output_apart(output, {train}), OptionError) << output;
  check_output_apart(directory / "data" / "out", {train, directory / "data"});
  check_output_apart("", {""});
}

TEST(Report, ReplacesReportsAlone) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "figures.json";
  write_report(path, {{"accuracy", 0.5}}, false);
  EXPECT_EQ(error_message([&] { check_report(path, false); }),
            "OptionError: cannot write \"" + path.string() +
                "\": it is there already; name another file, or ask to overwrite it");
  write_report(path, {{"accuracy", 0.75}}, true);
  EXPECT_EQ(read_json(path).at("accuracy"), 0.75);
  for (const char* text : {"{\"accuracy\": 1}", "text\tlabel\n", "[]"}) {
    write_file(path, text);
    EXPECT_EQ(
        error_message([&] {
          write_report(path, {{"accuracy", 0}}, true);
        }),
        "OptionError: cannot write \"" + path.string() + "\": it is not a report that graft wrote; name another file");
    EXPECT_EQ(read_file(path, 100), text);
  }
}

TEST(RemoveOutput, TakesWhatGraftWroteAlone) {
  const TemporaryDirectory directory;
  const auto write = [&] {
    OutputDirectory out(directory / "a", true);
    write_file(out.path() / "file", "x");
    out.commit();
  };
  write();
  remove_output(directory / "a");
  EXPECT_EQ(entries(directory.path()), 0u);
  write();
  std::ofstream(directory / "a" / "notes") << "mine";
  remove_output(directory / "a");
  EXPECT_EQ(entries(directory / "a"), 3u);
}

TEST(OutputDirectory, MessagesNameThePlaceThatWasAskedFor) {
  const TemporaryDirectory directory;
  OutputDirectory out(directory / "model");
  EXPECT_EQ(error_message([&] { read_file(out.path() / "config.json", 10); }),
            "FileError: cannot open \"" + (directory / "model").string() + "/config.json\": No such file or directory");
}

}  // namespace
}  // namespace graft
