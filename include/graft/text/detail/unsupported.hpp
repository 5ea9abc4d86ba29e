#pragma once

#include <string_view>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"

namespace graft::detail {

/// The error for a component that graft does not have.
[[noreturn]] inline void unsupported(const JsonFields& component, std::string_view type, std::string_view supported) {
  throw FormatError(message(component.where(), ": ", quoted(type), " is not supported; ", supported));
}

/// The members of each object in an array.
template <class Use>
void for_each_object(const JsonFields& fields, std::string_view name, Use&& use) {
  const Json& list = fields.value(name);
  if (!list.is_array()) fields.fail(name, "an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    use(JsonFields(list[i], message(fields.where(), ": \"", name, "\"[", i, "]")));
  }
}

}  // namespace graft::detail
