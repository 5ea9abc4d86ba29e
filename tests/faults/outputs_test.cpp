// Files, reports and directories: with every system call failing once, the old one is there or the new one.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "faults/failing_calls.hpp"
#include "faults/operation.hpp"
#include "graft/core/report.hpp"
#include "graft/io/adapter_dir.hpp"
#include "graft/io/model_dir.hpp"

namespace graft::faults {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// "old" or "new" where `of` says which.
template <class Which>
auto state_of(const std::string& name, const Which& which) {
  return [=](const fs::path& folder) -> std::string {
    try {
      return which(folder / name);
    } catch (const std::exception& error) {
      return error.what();
    }
  };
}

std::string told_apart(const std::string& text, const std::string& old_text, const std::string& new_text) {
  return text == old_text ? "old" : text == new_text ? "new" : "neither: " + text;
}

TEST(Faults, AFileIsTheOldOneOrTheNewOne) {
  const std::string old_text(3000, 'o'), new_text(9000, 'n');
  try_every_fault({.prepare = [&](const fs::path& folder) { write_file(folder / "a.txt", old_text); },
                   .run = [&](const fs::path& folder) { write_file(folder / "a.txt", new_text); },
                   .state = state_of(
                       "a.txt", [&](const fs::path& path) { return told_apart(bytes_of(path), old_text, new_text); })});
}

TEST(Faults, AReportIsTheOldOneOrTheNewOne) {
  const auto write = [](const char* what, bool replace) {
    return [=](const fs::path& folder) { write_report(folder / "report.json", {{"what", what}}, replace); };
  };
  try_every_fault({.prepare = write("old", false),
                   .run = write("new", true),
                   .state = state_of("report.json", [](const fs::path& path) { return read_json(path).at("what"); })});
}

/// Writes a directory with a file in it and one in a folder of it.
void write_directory(const fs::path& path, const std::string& what, bool replace) {
  OutputDirectory out(path, replace);
  write_file(out.path() / "first", what);
  const fs::path inner = out.path() / "inner";
  std::error_code error;
  do {
    fs::create_directory(inner, error);
  } while (error == std::errc::interrupted);
  if (error) detail::throw_system_error("create", inner, error.value());
  write_file(out.path() / "inner" / "second", what);
  out.commit();
}

std::string directory_state(const fs::path& path) {
  if (!is_own_output(path)) return "not graft's: " + path.string();
  const std::string first = bytes_of(path / "first"), second = bytes_of(path / "inner" / "second");
  return first == second ? first : "a mix of " + first + " and " + second;
}

TEST(Faults, ADirectoryIsThereOrIsNot) {
  try_every_fault({.prepare = [](const fs::path&) {},
                   .run =
                       [](const fs::path& folder) {
                         write_directory(folder / "below" / "out", "new", fs::exists(folder / "below" / "out"));
                       },
                   .state = state_of("below/out", [](const fs::path& path) {
                     return fs::exists(path) ? directory_state(path) : std::string("old");
                   })});
}

TEST(Faults, ADirectoryIsTheOldOneOrTheNewOne) {
  try_every_fault({.prepare = [](const fs::path& folder) { write_directory(folder / "out", "old", false); },
                   .run = [](const fs::path& folder) { write_directory(folder / "out", "new", true); },
                   .state = state_of("out", directory_state)});
}

// Where two directories cannot be exchanged, a kill between the two renames leaves the old one under another name, from
// which the next run puts it back.
TEST(Faults, ADirectoryIsTheOldOneOrTheNewOneWhereNoneCanBeExchanged) {
  try_every_fault({.prepare = [](const fs::path& folder) { write_directory(folder / "out", "old", false); },
                   .run =
                       [](const fs::path& folder) {
                         exchange_directories(false);
                         write_directory(folder / "out", "new", true);
                       },
                   .state = state_of("out", [](const fs::path& path) {
                     if (!fs::exists(path)) OutputDirectory(path, true);
                     return directory_state(path);
                   })});
}

std::vector<TensorBytes> tensors(const std::string& bytes) {
  const auto part = [&](std::size_t at) { return std::as_bytes(std::span(bytes)).subspan(at, 16); };
  return {{.name = "a.lora_A.weight", .type = ElementType::F32, .shape = {1, 4}, .bytes = part(0)},
          {.name = "a.lora_B.weight", .type = ElementType::F32, .shape = {4, 1}, .bytes = part(16)}};
}

template <class Directory>
std::string tensor_state(const Directory& directory) {
  std::string text;
  for (const TensorInfo& info : directory.tensors()) {
    std::string bytes(info.bytes(), '\0');
    directory.read(info, std::as_writable_bytes(std::span(bytes)));
    text += bytes;
  }
  return told_apart(text, std::string(32, 'o'), std::string(32, 'n'));
}

TEST(Faults, AnAdaptersDirectoryIsTheOldOneOrTheNewOne) {
  const auto write = [](char what, bool replace) {
    return [=](const fs::path& folder) {
      const std::string bytes(32, what);
      AdapterConfig config;
      config.r = what == 'o' ? 1 : 2;
      config.target_modules.names = {"a"};
      write_adapter_dir(folder / "adapter", config, tensors(bytes), {.replace = replace});
    };
  };
  try_every_fault({.prepare = write('o', false),
                   .run = write('n', true),
                   .state = state_of("adapter", [](const fs::path& path) {
                     const AdapterDir directory(path);
                     const std::string weights = tensor_state(directory);
                     return weights == (directory.config().r == 1 ? "old" : "new") ? weights : "a mix of both";
                   })});
}

TEST(Faults, AModelsDirectoryIsTheOldOneOrTheNewOne) {
  const auto write = [](char what, bool replace) {
    return [=](const fs::path& folder) {
      const std::string bytes(32, what);
      write_model_dir(folder / "model", {{"what", std::string(1, what)}}, tensors(bytes),
                      {.shard_bytes = 16, .files = {folder / "vocab.txt"}, .replace = replace});
    };
  };
  try_every_fault({.prepare =
                       [&](const fs::path& folder) {
                         write_file(folder / "vocab.txt", "word\n");
                         write('o', false)(folder);
                       },
                   .run = write('n', true),
                   .state = state_of("model", [](const fs::path& path) -> std::string {
                     const ModelDir directory(path);
                     if (bytes_of(path / "vocab.txt") != "word\n") return "no vocabulary";
                     const std::string weights = tensor_state(directory);
                     return directory.config().at("what").get<std::string>() == weights.substr(0, 1) ? weights
                                                                                                     : "a mix";
                   })});
}

}  // namespace
}  // namespace graft::faults
