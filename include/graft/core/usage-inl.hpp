#pragma once

#include <sys/resource.h>

#include "graft/core/file.hpp"
#include "graft/core/usage.hpp"

namespace graft {

GRAFT_INLINE std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * std::int64_t{1024};
}

GRAFT_INLINE std::int64_t bytes_on_disk(const std::filesystem::path& directory, std::string_view ending) {
  std::int64_t sum = 0;
  if (!path_exists(directory)) return sum;
  try {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
      if (entry.is_regular_file() && entry.path().native().ends_with(ending))
        sum += static_cast<std::int64_t>(entry.file_size());
  } catch (const std::filesystem::filesystem_error& error) {
    detail::throw_system_error("measure", directory, error.code().value());
  }
  return sum;
}

}  // namespace graft
