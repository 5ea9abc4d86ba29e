// All targets are one program, which is the target after whose name it is called: bin/fuzz_json is a link to it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

// fuzz_targets.inc has GRAFT_FUZZ_TARGET(name) for each.
#define GRAFT_FUZZ_TARGET(name)      \
  namespace graft::fuzzing::name {   \
  void fuzz(std::string_view input); \
  }
#include "fuzz_targets.inc"
#undef GRAFT_FUZZ_TARGET

namespace {

void (*target)(std::string_view) = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(const int* /*count*/, char*** arguments) {
  const std::string program = std::filesystem::path((*arguments)[0]).filename();
#define GRAFT_FUZZ_TARGET(name) \
  if (program == "fuzz_" #name) target = graft::fuzzing::name::fuzz;
#include "fuzz_targets.inc"
#undef GRAFT_FUZZ_TARGET
  if (target) return 0;
  std::fprintf(stderr, "%s is the name of no target\n", program.c_str());
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    target({reinterpret_cast<const char*>(data), size});
  } catch (const graft::Error&) {
  }
  return 0;
}
