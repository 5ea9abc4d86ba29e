#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft {

/// Values by name, in the order in which the names were first given.
template <class Value>
class OrderedMap : public std::vector<std::pair<std::string, Value>> {
 public:
  using std::vector<std::pair<std::string, Value>>::vector;

  /// The value of `name`, added behind the others if it is new.
  Value& operator[](std::string_view name) {
    for (auto& [key, value] : *this)
      if (key == name) return value;
    return this->emplace_back(std::string(name), Value()).second;
  }
};

}  // namespace graft
