#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graft/core/json.hpp"

namespace graft {

/// How the files of a family name its weights. As it stands: as the model does.
///
/// All names are without the base's and the dot behind it: "pooler", not "bert.pooler".
struct WeightNames {
  std::string base{};                                       ///< of the encoder or decoder inside a model with a head,
                                                            ///< such as "bert": files may leave it out
  std::vector<std::string> heads{};                         ///< modules that one task has and another has not
  std::vector<std::pair<std::string, std::string>> tied{};  ///< {copy that files may hold of a weight, the weight}
  std::vector<std::string> buffers{};                       ///< ends of names of tensors that are no weights
  std::vector<std::string> transposed{};                    ///< ends of names of matrices that files hold as [in, out]

  bool is_buffer(std::string_view name) const { return ends(name, buffers); }
  bool is_transposed(std::string_view name) const { return ends(name, transposed); }

 private:
  static bool ends(std::string_view name, const std::vector<std::string>& those) {
    return std::ranges::any_of(those, [&](const std::string& end) { return name.ends_with(end); });
  }
};

namespace detail {

template <class Config>
concept ReadableConfig = requires(const Json& json, const std::string& where) {
  { Config::from_json(json, where) } -> std::same_as<Config>;
};
template <class Config>
concept WritableConfig = requires(const Config& config, const std::string& text) {
  { config.to_json(text, text) } -> std::same_as<Json>;
};
template <class Config>
concept NamesWeights = requires(const Config& config) {
  { config.weight_names() } -> std::convertible_to<WeightNames>;
};
template <class Impl>
concept HasConfig = requires(const Impl& impl) {
  { impl.config() } -> std::convertible_to<typename Impl::Config>;
};
template <class Impl>
concept HasClassName = requires(const Impl& impl) {
  { impl.class_name() } -> std::convertible_to<std::string>;
};

}  // namespace detail

/// A configuration that load_pretrained() reads and save_pretrained() writes.
///
/// from_json(json, where) takes the content of a config.json and throws FormatError, naming `where`, for what it cannot
/// be; to_json(architecture, dtype) gives it back. A member `labels`, a vector of strings, makes it a classifier's.
template <class Config>
concept ModelConfig = std::copyable<Config> && detail::ReadableConfig<Config> && detail::WritableConfig<Config> &&
    detail::NamesWeights<Config>;

/// A model that can be loaded and saved: a LibTorch module's holder whose class names its configuration, is made from
/// one, with fresh weights, and gives it back. docs/models.md shows one from outside the library.
///
/// class_name() is what config.json calls its architecture. Layers that take adapters are graft's (Linear, Embedding).
/// If the class has tied_weight(), the tensor it gives, defined or not, is read by products too: a word table that is
/// also the head.
template <class Model>
concept ModelFamily = ModelConfig<typename Model::ContainedType::Config> &&
    std::constructible_from<Model, const typename Model::ContainedType::Config&> &&
    detail::HasConfig<typename Model::ContainedType> && detail::HasClassName<typename Model::ContainedType>;

namespace detail {

/// Does not compile for what is no ModelFamily, and says what it lacks.
template <class Model>
consteval void require_family() {
  using Impl = typename Model::ContainedType;
  constexpr bool has_config = requires { typename Impl::Config; };
  static_assert(has_config,
                "graft: the model's class lacks `using Config = ...`; see \"A family of one's own\" in docs/models.md");
  if constexpr (has_config) {
    using Config = typename Impl::Config;
    static_assert(ReadableConfig<Config>,
                  "graft: Config lacks `static Config from_json(const graft::Json&, const std::string& where)`");
    static_assert(WritableConfig<Config>,
                  "graft: Config lacks `graft::Json to_json(const std::string& architecture, "
                  "const std::string& dtype) const`");
    static_assert(NamesWeights<Config>, "graft: Config lacks `graft::WeightNames weight_names() const`");
    static_assert(std::constructible_from<Model, const Config&>, "graft: the model cannot be made from its Config");
    static_assert(HasConfig<Impl>, "graft: the model's class lacks `const Config& config() const`");
    static_assert(HasClassName<Impl>, "graft: the model's class lacks `std::string class_name() const`");
  }
}

}  // namespace detail
}  // namespace graft
