#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "graft/core/error.hpp"
#include "support/temporary_directory.hpp"

/// What all fuzz targets share. A target includes this in its one source file and defines fuzz(input) in a namespace of
/// its own, graft::fuzzing::<name>: it reads `input` with one of graft's parsers and checks that what comes out means
/// what it says. Errors of graft are answers; any other exception, like a check that fails, ends the program, and
/// libFuzzer then writes the input to a file.
namespace graft::fuzzing {

/// Ends the program unless `holds`.
inline void check(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "\nfuzz: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

/// What `call` gives as text or, if it throws an Error, that one's words.
template <class Call>
std::string outcome(const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    return message(error.kind(), ": ", error.what());
  }
}

/// What `call` gives; ends the program if it throws an Error, for what a parser has taken must be fit for the next
/// step.
template <class Call>
auto must(std::string_view what, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    check(false, message(what, ": ", error.what()));
    throw;
  }
}

/// Cuts what comes before the next `mark` off the front of `input`; all of it if there is none.
inline std::string_view cut(std::string_view& input, char mark = '\0') {
  const std::size_t end = std::min(input.find(mark), input.size());
  const std::string_view front = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return front;
}

/// Cuts a byte off the front of `input`; 0 if there is none.
inline unsigned cut_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  return byte;
}

/// A folder for the inputs of parsers that read files, on a file system in memory where there is one.
inline const std::filesystem::path& folder() {
  static const bool in_memory = std::filesystem::is_directory("/dev/shm") && ::setenv("TMPDIR", "/dev/shm", 0) == 0;
  static const TemporaryDirectory directory;
  (void)in_memory;
  return directory.path();
}

/// A file of these bytes, overwritten by the next of that name.
inline std::filesystem::path file_of(std::string_view bytes, const char* name = "input") {
  const std::filesystem::path path = folder() / name;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0) std::abort();
  return path;
}

}  // namespace graft::fuzzing
