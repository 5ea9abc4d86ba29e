// A kind of adapter that graft does not have, as docs/adapters.md shows it.

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "graft/adapters/lora.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/adapters/plan.hpp"
#include "graft/adapters/selection.hpp"
#include "graft/training/optimizer.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace own {

using namespace graft;

class GainAdapter;

struct GainOptions {
  using Adapter = GainAdapter;
  double start = 0.0;
};

/// y = layer(x) + g * (W x): what each output makes of x grows by a trained share.
class GainAdapter : public LayerAdapter {
 public:
  explicit GainAdapter(torch::Tensor g) : gain(register_parameter("gain", std::move(g))) {}

  static std::vector<std::string> faults(const Adaptable& layer, const GainOptions&, std::string_view where) {
    if (layer.layer_type().outputs) return {};
    return {message(where, " does not say where its outputs lie")};
  }
  static std::shared_ptr<GainAdapter> make(const Adaptable& layer, const GainOptions& options) {
    const std::int64_t outputs = layer.count(*layer.layer_type().outputs);
    return std::make_shared<GainAdapter>(torch::full({outputs}, options.start, layer.factor_options()));
  }

  torch::Tensor output(Adaptable& layer, const torch::Tensor& x) const override {
    return layer.plain(x) + Adaptable::over_data(gain, *layer.layer_type().outputs) * layer.unbiased(x);
  }
  torch::Tensor folded(const Adaptable& layer, const torch::Tensor& weight, double share) const override {
    const torch::Tensor own = layer.base_weight().to(weight.scalar_type());
    return weight + share * layer.over_weight(gain, *layer.layer_type().outputs) * own;
  }
  const AdapterKind* kind() const override;  // how files have it; without it the adapter is not saved

  torch::Tensor gain;  ///< [outputs]

 protected:
  std::shared_ptr<LayerAdapter> copy_with(const Moved& moved) const override {
    return std::make_shared<GainAdapter>(moved(gain));
  }
};

struct GainFiles : AdapterKind {
  std::string peft_type() const override { return "GAIN"; }
  std::string title() const override { return "Gain"; }
  void write(AdapterWriter& out) const override {
    for (const AdaptedLayer& one : out.layers) out.put(one, "gain", static_cast<const GainAdapter&>(*one.adapter).gain);
  }
  void read(AdapterReader& in) const override {
    for (const LayerReader& at : in.layers()) {
      if (!at.targeted() || !at.require({"gain"})) continue;
      const torch::Tensor gain = at.read("gain", {at.layer().count(*at.layer().layer_type().outputs)});
      if (gain.defined()) at.put(std::make_shared<GainAdapter>(gain));
    }
  }
};
const GainFiles gain_files;

const AdapterKind* GainAdapter::kind() const { return &gain_files; }

}  // namespace own

namespace graft::own_kind_test {
namespace {

using own::gain_files, own::GainAdapter, own::GainOptions;

struct NetImpl : torch::nn::Module {
  NetImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(9, 6)));
    image = register_module("image", Conv1d(torch::nn::Conv1dOptions(6, 6, 3).padding(1)));
    query = register_module("query", Linear(torch::nn::LinearOptions(6, 5)));
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& ids) { return query(image(words(ids).t()).t()); }
  Embedding words = nullptr;
  Conv1d image = nullptr;
  Linear query = nullptr;
};

const torch::Tensor ids = torch::tensor({1, 2, 3, 4, 3, 8});
const Targets everywhere{.layers = {"words", "image", "query"}};

class OwnKind : public testing::Test {
 protected:
  void randomise(NetImpl& net) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : net.parameters()) {
      if (parameter.requires_grad()) parameter.uniform_(-0.5, 0.5);
    }
  }
  static void copy_base(NetImpl& from, NetImpl& to) {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, tensor] : base_tensors(from)) to.named_parameters()[name].copy_(tensor);
  }

  struct Seed {
    Seed() { torch::manual_seed(7); }
  } seed;  // before what is drawn
  NetImpl net;
  TemporaryDirectory directory;
};

TEST_F(OwnKind, TrainsMergesSavesAndLoads) {
  NetImpl base;
  copy_base(net, base);
  attach(net, GainOptions{}, everywhere);
  EXPECT_TRUE(torch::equal(net.forward(ids), base.forward(ids)));

  const torch::Tensor wanted = base.forward(ids).detach() * 1.5;
  const auto loss = [&] { return (net.forward(ids) - wanted).square().mean(); };
  const double before = loss().item<double>();
  AdamW optimizer({{.parameters = trained_parameters(net), .lr = 0.05}});
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  }
  EXPECT_LT(loss().item<double>(), 0.1 * before);
  EXPECT_EQ(count_parameters(net).all.trained, 6 + 6 + 5);
  EXPECT_EQ(plan(shape_of(net), {.adapter = GainOptions{}, .targets = everywhere}).parameters.all.trained, 6 + 6 + 5);

  const torch::Tensor apart = net.forward(ids);
  save_adapter(directory / "gain", net);
  merge(net);
  EXPECT_TRUE(torch::allclose(net.forward(ids), apart, 1e-12, 1e-12));
  unmerge(net);
  EXPECT_TRUE(torch::equal(net.forward(ids), apart));

  load_adapter(directory / "gain", base, "default", {&gain_files});
  EXPECT_TRUE(torch::equal(base.forward(ids), apart));
  EXPECT_TRUE(base.query->adapter<GainAdapter>("default")->gain.requires_grad());
}

TEST_F(OwnKind, AFileOfAKindThatTheCallDoesNotKnowIsRefused) {
  attach(net, GainOptions{}, {.layers = {"query"}});
  save_adapter(directory / "gain", net);
  NetImpl base;
  const std::string text = error_message([&] { load_adapter(directory / "gain", base); });
  EXPECT_NE(text.find("\"peft_type\" is \"GAIN\", but must be one of "), std::string::npos) << text;
  EXPECT_NE(text.find("\"LORA\""), std::string::npos) << text;
  EXPECT_TRUE(adapters(base).empty());
}

TEST_F(OwnKind, StandsBesideOthersInSumsBatchesAndCopies) {
  attach(net, GainOptions{}, everywhere, "gain");
  randomise(net);
  attach(net, {.rank = 2, .bias = true}, {.layers = {"query"}}, "lora");
  randomise(net);
  const torch::Tensor x = torch::randn({4, 6}, torch::kFloat64);
  const auto alone = [&](const std::string& name) {
    choose(net, name);
    return net.query(x) - torch::linear(x, net.query->weight, net.query->bias);
  };
  const torch::Tensor gain = alone("gain"), lora = alone("lora");
  choose(net, {{"gain", 0.5}, {"lora", 2.0}});
  const torch::Tensor base = torch::linear(x, net.query->weight, net.query->bias), both = net.query(x);
  EXPECT_TRUE(torch::allclose(both, base + 0.5 * gain + 2.0 * lora, 1e-12, 1e-12));
  const auto copy = std::dynamic_pointer_cast<AdaptableImpl<torch::nn::LinearImpl>>(net.query->clone());
  EXPECT_TRUE(torch::equal(copy->forward(x), both));
  net.query->merge();
  EXPECT_TRUE(torch::allclose(net.query(x), both, 1e-12, 1e-12));
  net.query->unmerge();

  const AdapterSelection mixed(net, torch::tensor({0, 1, 3, 4}), {"lora", "gain", ""});
  const AdapterScope scope(mixed);
  const torch::Tensor y = net.query(x);
  EXPECT_TRUE(torch::allclose(y[0], (base + lora)[0], 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(y.slice(0, 1, 3), (base + gain).slice(0, 1, 3), 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(y[3], base[3], 1e-12, 1e-12));
}

}  // namespace
}  // namespace graft::own_kind_test
