#include "graft/models/family.hpp"

#include <fstream>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/layers/pooling.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/models/mpnet.hpp"
#include "graft/models/save.hpp"
#include "graft/tensor/packed.hpp"
#include "support/error_message.hpp"
#include "support/temporary_directory.hpp"

namespace {

/// A family from outside the library: the mean of a text's word vectors, and two linear layers, of which files hold the
/// first as [in, out].
struct BagConfig {
  std::int64_t vocab_size = 20, hidden_size = 6;

  static BagConfig from_json(const graft::Json& json, const std::string& where) {
    const graft::JsonFields fields(json, where);
    return {fields.integer("vocab_size", 1, 1000), fields.integer("hidden_size", 1, 1000)};
  }
  graft::Json to_json(const std::string& architecture, const std::string& dtype) const {
    return {{"architectures", graft::Json::array({architecture})},
            {"dtype", dtype},
            {"vocab_size", vocab_size},
            {"hidden_size", hidden_size}};
  }
  graft::WeightNames weight_names() const {
    return {.base = "bag", .heads = {"classifier"}, .buffers = {".age"}, .transposed = {"mix.weight"}};
  }
};

class BagImpl : public torch::nn::Module {
 public:
  using Config = BagConfig;
  explicit BagImpl(const BagConfig& config)
      : config_(config),
        words_(register_module("words", graft::Embedding(config.vocab_size, config.hidden_size))),
        mix_(register_module("mix", graft::Linear(config.hidden_size, 4))),
        classifier_(register_module("classifier", graft::Linear(4, 3))) {}

  torch::Tensor forward(const graft::PackedBatch& batch) {
    return classifier_(mix_(graft::mean_tokens(words_(batch.ids), batch.offsets)));
  }
  const BagConfig& config() const { return config_; }
  std::string class_name() const { return "Bag"; }

 private:
  BagConfig config_;
  graft::Embedding words_;
  graft::Linear mix_, classifier_;
};
TORCH_MODULE(Bag);

struct NamelessConfig : BagConfig {
  static NamelessConfig from_json(const graft::Json&, const std::string&) { return {}; }
  void weight_names() const = delete;
};
struct NamelessImpl : BagImpl {
  using Config = NamelessConfig;
  using BagImpl::BagImpl;
};
TORCH_MODULE(Nameless);

static_assert(graft::ModelFamily<Bag>);
static_assert(!graft::ModelFamily<Nameless>, "its configuration does not say how files name its weights");
static_assert(!graft::ModelFamily<torch::nn::Linear>, "it names no configuration");
static_assert(graft::ModelFamily<graft::BertModel> && graft::ModelFamily<graft::BertForMaskedLM> &&
              graft::ModelFamily<graft::MpnetModel> && graft::ModelFamily<graft::CausalLM>);

const std::vector<std::vector<std::int32_t>> texts{{1, 2, 3}, {19, 4}};

TEST(OwnFamily, IsLoadedAsItWasSaved) {
  const TemporaryDirectory directory;
  torch::manual_seed(3);
  Bag model(BagConfig{.vocab_size = 20, .hidden_size = 5});
  graft::save_pretrained(directory / "bag", model);
  EXPECT_EQ(graft::ModelDir(directory / "bag").find("mix.weight")->shape, (std::vector<std::int64_t>{5, 4}));
  auto [again, report] = graft::load_pretrained<Bag>(directory / "bag");
  EXPECT_EQ(report.loaded.size(), 5);
  EXPECT_EQ(again->config().hidden_size, 5);
  EXPECT_TRUE(torch::equal(again(graft::pack(texts)), model(graft::pack(texts))));
}

TEST(OwnFamily, TakesAdaptersAndIsSavedWithThemMerged) {
  const TemporaryDirectory directory;
  Bag model(BagConfig{});
  graft::attach(*model, graft::LoraOptions{.rank = 2}, {.layers = {"mix"}});
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters())
      if (parameter.requires_grad()) parameter.fill_(0.3);
  }
  const torch::Tensor adapted = model(graft::pack(texts));
  graft::merge(*model);
  graft::save_pretrained(directory / "bag", model);
  EXPECT_TRUE(torch::allclose(graft::load_pretrained<Bag>(directory / "bag").model(graft::pack(texts)), adapted));
}

TEST(OwnFamily, GetsAHeadThatTheFilesLackAndNoLabels) {
  const TemporaryDirectory directory;
  graft::NamedTensors tensors;
  for (const auto& [name, tensor] : graft::named_tensors(*Bag(BagConfig{})))
    if (!name.starts_with("classifier"))
      tensors.emplace_back("bag." + name, name == "mix.weight" ? tensor.t() : tensor);
  tensors.emplace_back("bag.words.age", torch::zeros({1}));
  std::filesystem::create_directories(directory / "bag");
  std::ofstream(directory / "bag/config.json") << BagConfig{}.to_json("Bag", "float32").dump();
  graft::save_tensors(directory / "bag/model.safetensors", tensors);
  const auto loaded = graft::load_pretrained<Bag>(directory / "bag");
  EXPECT_EQ(loaded.report.lacking, (std::vector<std::string>{"classifier.weight", "classifier.bias"}));
  EXPECT_EQ(loaded.report.ignored, std::vector<std::string>{"bag.words.age"});
  EXPECT_EQ(error_message([&] { graft::load_pretrained<Bag>(directory / "bag", {.labels = {"a"}}); }),
            "OptionError: labels are given for a model that has no classifier; leave them out");
}

}  // namespace
