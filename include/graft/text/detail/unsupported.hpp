#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include <nlohmann/json.hpp>

#include "graft/core/error.hpp"
#include "graft/core/json.hpp"

namespace graft::detail {

/// The error for a component that graft does not have.
[[noreturn]] inline void unsupported(const JsonFields& component, std::string_view type, std::string_view supported) {
  throw FormatError(message(component.where(), ": ", quoted(type), " is not supported; ", supported));
}

/// FormatErrors of what is made do not know the file and the component: this one does.
template <class Make>
auto named(std::string_view where, Make&& make) {
  try {
    return make();
  } catch (const FormatError& error) {
    throw FormatError(message(where, ": ", error.what()));
  }
}

/// How many times as long the steps of a component may make a text: enough for any tokenizer, too little for a file
/// that wants the memory of the machine.
class Growth {
 public:
  void replace(const JsonFields& step, std::string_view pattern, std::string_view content) {
    factor_ *= std::max<std::size_t>(1, (content.size() + pattern.size() - 1) / pattern.size());
    if (factor_ > limit_) step.fail("content", message("so short that text grows at most ", limit_, " times"));
  }
  /// Rules that say of many texts what they become: as a rule little more than they are.
  void rules(const JsonFields& step) {
    factor_ *= 4;
    if (factor_ > limit_) step.fail("type", message("not so often there that text grows more than ", limit_, " times"));
  }

 private:
  static constexpr std::size_t limit_ = 64;
  std::size_t factor_ = 1;
};

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
