#pragma once

#include <string>

#include "graft/core/error.hpp"

/// what() of the graft::Error that `call` throws, "(no error)" if it throws none. Other exceptions pass.
template <class Call>
std::string error_message(Call&& call) {
  try {
    call();
  } catch (const graft::Error& error) {
    return error.what();
  }
  return "(no error)";
}
