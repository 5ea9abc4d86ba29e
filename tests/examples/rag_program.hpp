#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "graft/core/output.hpp"
#include "graft/retrieval/sqlite_store.hpp"
#include "support/program.hpp"
#include "support/temporary_directory.hpp"

// The program rag as its users run it, on a few small files.

inline const std::string program = GRAFT_BIN "/rag";
inline const std::string model = GRAFT_DEPS "/model";

class Rag : public testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_DATA_HOME", path("data").c_str(), 1);
    write("notes/images.txt",
          "ImageMagick's convert changes the size of a picture: convert in.png -resize 50% out.png");
    write("notes/deep/audio.md",
          "# Sound\n\nAll of it.\n\n## Formats\n\nsox turns one kind of audio file into another.\n");
    write(
        "notes/rows.jsonl",
        R"({"id": "wget", "text": "Fetches files over HTTP and FTP.", "metadata": {"section": "web"}, "year": 1996})"
        "\n\n"
        R"({"id": "gimp", "text": "Draws and edits pictures by hand.", "metadata": {"section": "graphics"}, "year": 1998})"
        "\n");
  }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((directory_ / name).parent_path());
    graft::write_file(directory_ / name, text);
  }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  ProgramResult run(const std::string& arguments) const {
    return run_program(program + " " + arguments + " --threads 2");
  }

  /// `rag index`, with the model and the store.
  ProgramResult index(const std::string& arguments) const {
    return run("index --store " + path("my.db") + " --model " + model + " " + arguments);
  }

  graft::Json search(const std::string& arguments) const {
    const ProgramResult result = run("search --json --store " + path("my.db") + " " + arguments);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.exit_code == 0 ? graft::parse_json(result.output, "search")["hits"] : graft::Json();
  }

  graft::StoreSize size() const { return graft::SqliteStore(directory_ / "my.db", {.create = false}).read()->size(); }

  TemporaryDirectory directory_;
};

inline bool says(const ProgramResult& result, const std::string& part) {
  return result.output.find(part) != std::string::npos;
}
