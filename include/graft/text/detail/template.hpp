#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace graft::detail {

/// Where the tokens of a sequence stand among special tokens, such as [CLS] A [SEP] B [SEP].
struct Template {
  enum class Kind : std::uint8_t { special, first, second };
  struct Step {
    Kind kind = Kind::special;
    std::int32_t type_id = 0;
    std::int32_t id = 0;  ///< of a special token
  };

  std::vector<Step> single{{Kind::first, 0, 0}};
  std::vector<Step> pair{{Kind::first, 0, 0}, {Kind::second, 1, 0}};

  const std::vector<Step>& steps(bool is_pair) const { return is_pair ? pair : single; }

  std::size_t special_tokens(bool is_pair) const {
    return static_cast<std::size_t>(std::count_if(steps(is_pair).begin(), steps(is_pair).end(),
                                                  [](const Step& step) { return step.kind == Kind::special; }));
  }
};

}  // namespace graft::detail
