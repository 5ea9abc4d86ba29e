#pragma once

#include <algorithm>
#include <set>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/core/error.hpp"
#include "graft/core/regular_expression.hpp"
#include "graft/io/peft_names.hpp"

namespace graft {
namespace detail {

/// The axis that has the factors; nothing for a layer type that does not say.
GRAFT_INLINE std::optional<LayerAxis> ia3_axis(const Adaptable& layer, Ia3Side side) {
  return side == Ia3Side::output ? layer.layer_type().outputs : layer.layer_type().inputs;
}

/// Shape of the factors in files. An embedding, whose inputs are no numbers, takes none.
GRAFT_INLINE std::vector<std::int64_t> ia3_shape(const Adaptable& layer, Ia3Side side) {
  const auto axis = ia3_axis(layer, side);
  if (!axis || layer.layer_type().looks_up_rows) return {};
  const auto dims = static_cast<std::size_t>(axis->data == -1 ? layer.main_weight().dim() : 1 - axis->data);
  std::vector<std::int64_t> sizes(dims, 1);
  sizes.at(axis->data == -1 ? static_cast<std::size_t>(axis->weight) : 1) = layer.count(*axis);
  return sizes;
}

}  // namespace detail

/// y = l * layer(x), or layer(l * x)
GRAFT_INLINE torch::Tensor Ia3Adapter::output(Adaptable& layer, const torch::Tensor& x) const {
  const torch::Tensor l = Adaptable::over_data(ia3_l, *detail::ia3_axis(layer, side));
  if (side == Ia3Side::input) return layer.plain((x * l).to(x.scalar_type()));
  const torch::Tensor y = layer.plain(x);
  return (y * l).to(y.scalar_type());
}

GRAFT_INLINE torch::Tensor Ia3Adapter::folded(const Adaptable& layer, const torch::Tensor& weight, double) const {
  return weight * layer.over_weight(ia3_l.to(weight.scalar_type()), *detail::ia3_axis(layer, side));
}

GRAFT_INLINE torch::Tensor Ia3Adapter::folded_bias(const Adaptable&, const torch::Tensor& bias, double) const {
  return side == Ia3Side::output && bias.defined() ? bias * ia3_l.flatten().to(bias.scalar_type()) : bias;
}

GRAFT_INLINE std::vector<std::string> Ia3Adapter::faults(const Adaptable& layer, const Ia3Options& options,
                                                         std::string_view where) {
  try {
    layer.factor_shape(1);  // throws for layers whose weight takes no update, such as convolutions with groups
    if (!detail::ia3_shape(layer, options.side).empty()) return {};
  } catch (const OptionError&) {
  }
  return {message(where, " is of a type that graft has no IA3 for")};
}

GRAFT_INLINE std::shared_ptr<Ia3Adapter> Ia3Adapter::make(const Adaptable& layer, const Ia3Options& options) {
  const torch::Tensor ones = torch::ones(detail::ia3_shape(layer, options.side), layer.factor_options());
  return std::make_shared<Ia3Adapter>(options.side, ones);
}

GRAFT_INLINE void Ia3Adapter::settle(std::vector<LayerOptions<Ia3Options>>& layers) {
  std::set<std::string> endings, used;
  for (auto& [path, layer, options] : layers) {
    for (const std::string& ending : options.feed_forward) {
      endings.insert(ending);
      if (!matches_suffix(path, ending)) continue;
      used.insert(ending);
      options.side = Ia3Side::input;
    }
  }
  for (const std::string& ending : endings) {
    if (used.count(ending)) continue;
    throw OptionError(message("feed-forward name ", quoted(ending), " takes none of the targeted layers"));
  }
}

namespace detail {

class Ia3Files : public AdapterKind {
 public:
  std::string peft_type() const override { return "IA3"; }
  std::string title() const override { return "IA3"; }

  /// The feed-forward layers by the names that the targets have, or all of both by their paths.
  void write(AdapterWriter& out) const override {
    const auto side_of = [](const AdaptedLayer& one) { return static_cast<const Ia3Adapter&>(*one.adapter).side; };
    std::vector<std::string>& names = out.config.target_modules.names;
    const auto sides_of = [&](const std::string& name) {
      std::set<Ia3Side> sides;
      for (const AdaptedLayer& one : out.layers) {
        if (one.path.ends_with(name)) sides.insert(side_of(one));
      }
      return sides;
    };
    const bool clear = std::all_of(names.begin(), names.end(), [&](const auto& n) { return sides_of(n).size() == 1; });
    if (!clear) names = out.paths();
    for (const std::string& name : names) {
      if (sides_of(name).count(Ia3Side::input)) out.config.feedforward_modules.names.push_back(name);
    }
    for (const AdaptedLayer& one : out.layers) {
      out.put(one, peft_names::ia3_l, static_cast<const Ia3Adapter&>(*one.adapter).ia3_l);
    }
  }

  void read(AdapterReader& in) const override {
    const ModuleNames& inputs = in.config().feedforward_modules;
    const auto pattern = inputs.pattern.empty() ? std::nullopt : std::optional<RegularExpression>(inputs.pattern);
    const auto is_input = [&](const std::string& path) {  // PEFT compares the ends of paths letter by letter
      return pattern ? pattern->matches(path)
                     : std::any_of(inputs.names.begin(), inputs.names.end(),
                                   [&](const std::string& name) { return path.ends_with(name); });
    };
    for (const LayerReader& at : in.layers()) {
      if (!at.find(peft_names::ia3_l) && !at.targeted()) continue;
      if (!at.require({peft_names::ia3_l})) continue;
      const Ia3Side side = is_input(at.path()) ? Ia3Side::input : Ia3Side::output;
      const auto faults = Ia3Adapter::faults(at.layer(), {.side = side}, "layer " + quoted(at.path()));
      if (!faults.empty()) {
        at.fault(faults.front());
        continue;
      }
      const torch::Tensor factors = at.read(peft_names::ia3_l, ia3_shape(at.layer(), side));
      if (factors.defined()) at.put(std::make_shared<Ia3Adapter>(side, factors));
    }
  }
};

}  // namespace detail

GRAFT_INLINE const AdapterKind& Ia3Adapter::in_files() {
  static const detail::Ia3Files files;
  return files;
}

}  // namespace graft
