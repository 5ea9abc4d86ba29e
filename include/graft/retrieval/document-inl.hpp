#pragma once

#include "graft/retrieval/document.hpp"

namespace graft {

GRAFT_INLINE std::string searchable(std::string_view heading, std::string_view text) {
  std::string out(heading);
  if (!out.empty()) out += "\n";
  out += text;
  return out;
}

}  // namespace graft
