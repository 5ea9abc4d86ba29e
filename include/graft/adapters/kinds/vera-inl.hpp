#pragma once

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/kinds/vera.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/core/error.hpp"

namespace graft {

/// A [r, largest in] and B [largest out, r]. Threads: may be used by many at once.
class VeraProjections {
 public:
  VeraProjections(torch::Tensor A, torch::Tensor B) : A(std::move(A)), B(std::move(B)) {}

  /// Kaiming's uniform distribution on the CPU in float32, A before B, from a generator of their own.
  static std::shared_ptr<const VeraProjections> drawn(std::int64_t rank, std::int64_t in, std::int64_t out,
                                                      std::int64_t key) {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(key));
    const auto draw = [&](std::int64_t rows, std::int64_t fan_in) {
      const double bound = std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(static_cast<double>(fan_in)));
      return torch::empty({rows, fan_in}, torch::kFloat32).uniform_(-bound, bound, generator);
    };
    torch::Tensor A = draw(rank, in);
    return std::make_shared<const VeraProjections>(std::move(A), draw(out, rank));
  }

  /// A layer's part of A and B, of the type and on the device of `like`; views of one copy for all layers.
  std::pair<torch::Tensor, torch::Tensor> of(const torch::Tensor& weight, const torch::Tensor& like) const {
    const std::lock_guard lock(mutex_);
    if (!used_A_.defined() || used_A_.scalar_type() != like.scalar_type() || used_A_.device() != like.device()) {
      used_A_ = A.to(like.device(), like.scalar_type());
      used_B_ = B.to(like.device(), like.scalar_type());
    }
    return {used_A_.narrow(1, 0, weight.size(1)), used_B_.narrow(0, 0, weight.size(0))};
  }

  const torch::Tensor A, B;

 private:
  mutable std::mutex mutex_;
  mutable torch::Tensor used_A_, used_B_;
};

// The update.

/// y = W x + bias + b * (B (d * (A dropout(x))))
GRAFT_INLINE torch::Tensor VeraAdapter::output(Adaptable& layer, const torch::Tensor& x) const {
  const auto [A, B] = options.projections->of(layer.main_weight(), vera_lambda_b);
  const torch::Tensor y = layer.plain(x);
  const torch::Tensor in = torch::dropout(x.to(A.scalar_type()), options.dropout, is_training());
  const torch::Tensor h = vera_lambda_d * torch::linear(in, A);
  return y + (vera_lambda_b * torch::linear(h, B)).to(y.scalar_type());
}

/// W + share diag(b) B diag(d) A
GRAFT_INLINE torch::Tensor VeraAdapter::folded(const Adaptable&, const torch::Tensor& weight, double share) const {
  const auto [A, B] = options.projections->of(weight, weight);
  const torch::Tensor b = vera_lambda_b.to(weight.scalar_type()), d = vera_lambda_d.to(weight.scalar_type());
  return weight.add((b.unsqueeze(1) * B).mm(d.unsqueeze(1) * A), share);
}

// A fresh one.

GRAFT_INLINE VeraAdapter::VeraAdapter(VeraOptions all, torch::Tensor b, torch::Tensor d)
    : options(std::move(all)),
      vera_lambda_b(register_parameter("vera_lambda_b", std::move(b))),
      vera_lambda_d(register_parameter("vera_lambda_d", std::move(d))) {}

GRAFT_INLINE std::vector<std::string> VeraAdapter::faults(const Adaptable& layer, const VeraOptions& options,
                                                          std::string_view where) {
  std::vector<std::string> faults;
  const auto fault = [&](const auto&... parts) { faults.push_back(message(parts...)); };
  if (!layer.layer_type().is_linear()) fault(where, " is not linear, and VeRA is for linear layers");
  if (options.rank < 1 || options.rank > 1'000'000) {
    fault("rank is ", options.rank, " for ", where, "; choose 1 to 1000000");
  }
  if (!std::isfinite(options.d_initial)) {
    fault("d_initial is ", options.d_initial, " for ", where, "; give a finite number");
  }
  if (!(options.dropout >= 0.0 && options.dropout < 1.0)) {
    fault("dropout is ", options.dropout, " for ", where, "; choose 0 or more and less than 1");
  }
  if (!faults.empty() || !options.projections) return faults;
  const auto& [A, B] = std::tie(options.projections->A, options.projections->B);
  const torch::Tensor weight = layer.main_weight();
  if (A.dim() != 2 || B.dim() != 2 || A.size(0) != options.rank || B.size(1) != options.rank ||
      A.size(1) < weight.size(1) || B.size(0) < weight.size(0)) {
    fault("projections ", A.sizes(), " and ", B.sizes(), " are not those of rank ", options.rank, " for ", where, " ",
          weight.sizes());
  }
  return faults;
}

GRAFT_INLINE void VeraAdapter::settle(std::vector<LayerOptions<VeraOptions>>& layers) {
  std::int64_t in = 0, out = 0;
  for (const auto& [path, layer, options] : layers) {
    const VeraOptions& first = layers.front().options;
    if (options.projections || !faults(*layer, options, path).empty()) return;  // add() says what is wrong
    if (options.rank != first.rank || options.projection_prng_key != first.projection_prng_key) {
      throw OptionError(message("layers ", quoted(layers.front().path), " and ", quoted(path),
                                " differ in rank or key; VeRA's layers share A and B, which have one"));
    }
    out = std::max(out, layer->main_weight().size(0));
    in = std::max(in, layer->main_weight().size(1));
  }
  if (layers.empty()) return;
  const VeraOptions& first = layers.front().options;
  const auto shared = VeraProjections::drawn(first.rank, in, out, first.projection_prng_key);
  for (auto& [path, layer, options] : layers) options.projections = shared;
}

GRAFT_INLINE std::shared_ptr<VeraAdapter> VeraAdapter::make(const Adaptable& layer, const VeraOptions& options) {
  const torch::Tensor weight = layer.main_weight();
  VeraOptions own = options;
  if (!own.projections) {
    own.projections = VeraProjections::drawn(own.rank, weight.size(1), weight.size(0), own.projection_prng_key);
  }
  return std::make_shared<VeraAdapter>(own, torch::zeros({weight.size(0)}, layer.factor_options()),
                                       torch::full({own.rank}, own.d_initial, layer.factor_options()));
}

// Files.

namespace detail {

class VeraFiles : public AdapterKind {
 public:
  std::string peft_type() const override { return "VERA"; }
  std::string title() const override { return "VeRA"; }
  std::vector<std::string> fields() const override {
    return {"r", "projection_prng_key", "save_projection", "vera_dropout", "d_initial", "init_weights"};
  }

  void write(AdapterWriter& out) const override {
    const auto of = [](const AdaptedLayer& one) -> const VeraAdapter& {
      return static_cast<const VeraAdapter&>(*one.adapter);
    };
    const VeraOptions& first = of(out.layers.front()).options;
    for (const AdaptedLayer& one : out.layers) {
      const VeraOptions& options = of(one).options;
      if (options.projections != first.projections || options.dropout != first.dropout ||
          options.save_projection != first.save_projection) {
        throw OptionError(message("layers ", quoted(out.layers.front().path), " and ", quoted(one.path),
                                  " differ in A and B, dropout or save_projection, and adapter_config.json has room "
                                  "for one; attach them together"));
      }
      out.put(one, "vera_lambda_b", of(one).vera_lambda_b);
      out.put(one, "vera_lambda_d", of(one).vera_lambda_d);
    }
    out.config.fields = {{"r", first.rank},
                         {"projection_prng_key", first.projection_prng_key},
                         {"save_projection", first.save_projection},
                         {"vera_dropout", first.dropout},
                         {"d_initial", first.d_initial},
                         {"init_weights", true}};
    if (!first.save_projection) return;
    out.put_whole("vera_A", first.projections->A);
    out.put_whole("vera_B", first.projections->B);
  }

  void read(AdapterReader& in) const override {
    const JsonFields fields(in.config().fields, in.where());
    VeraOptions options;
    options.rank = fields.integer("r", 1, 1'000'000, options.rank);
    options.projection_prng_key = fields.integer("projection_prng_key", INT64_MIN, INT64_MAX, 0);
    options.save_projection = fields.boolean("save_projection", true);
    options.dropout = fields.number("vera_dropout", 0, 1, 0);
    options.d_initial = fields.number("d_initial", -1e9, 1e9, options.d_initial);
    const torch::Tensor A = in.read_whole("vera_A"), B = in.read_whole("vera_B");
    if (options.save_projection && !(A.defined() && B.defined())) {
      in.fault("the file lacks vera_A or vera_B, and \"save_projection\" is true");
      return;
    }
    std::vector<LayerReader> found;
    std::int64_t most_in = 0, most_out = 0;
    for (const LayerReader& at : in.layers()) {
      if (!at.targeted() && !at.find("vera_lambda_b") && !at.find("vera_lambda_d")) continue;
      if (!at.require({"vera_lambda_b", "vera_lambda_d"})) continue;
      if (!at.layer().layer_type().is_linear()) {
        at.fault(message("layer ", quoted(at.path()), " is not linear, and VeRA is for linear layers"));
        continue;
      }
      most_out = std::max(most_out, at.layer().main_weight().size(0));
      most_in = std::max(most_in, at.layer().main_weight().size(1));
      found.push_back(at);
    }
    if (found.empty()) return;
    options.projections = options.save_projection
                              ? std::make_shared<const VeraProjections>(A, B)
                              : VeraProjections::drawn(options.rank, most_in, most_out, options.projection_prng_key);
    for (const LayerReader& at : found) {
      for (std::string& fault : VeraAdapter::faults(at.layer(), options, "layer " + quoted(at.path()))) {
        at.fault(std::move(fault));
      }
      const torch::Tensor b = at.read("vera_lambda_b", {at.layer().main_weight().size(0)});
      const torch::Tensor d = at.read("vera_lambda_d", {options.rank});
      if (b.defined() && d.defined()) at.put(std::make_shared<VeraAdapter>(options, b, d));
    }
  }
};

}  // namespace detail

GRAFT_INLINE const AdapterKind& VeraAdapter::in_files() {
  static const detail::VeraFiles files;
  return files;
}

}  // namespace graft
