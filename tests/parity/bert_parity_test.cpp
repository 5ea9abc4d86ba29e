// graft's BERT against transformers and PEFT on the same weights. Throughout, the error of a tensor is
//   relative error = max |ours - theirs| / max |theirs|
// over the whole tensor.

#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include "graft/adapters/lora.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/models/mpnet.hpp"
#include "graft/models/save.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

Tensors read_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  Tensors tensors;
  for (const TensorInfo& info : file.tensors()) {
    torch::Tensor tensor = torch::empty(info.shape, *find_scalar_type(info.type));
    file.read(info, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    tensors.emplace(info.name, tensor);
  }
  return tensors;
}

double relative_error(const torch::Tensor& ours, const torch::Tensor& theirs) {
  EXPECT_EQ(ours.sizes(), theirs.sizes());
  return ((ours.to(torch::kFloat64) - theirs.to(torch::kFloat64)).abs().max() / theirs.to(torch::kFloat64).abs().max())
      .item<double>();
}

PackedBatch batch_of(const Tensors& tensors) {
  const torch::Tensor ids = tensors.at("ids"), offsets = tensors.at("offsets");
  const torch::Tensor starts = torch::repeat_interleave(offsets.slice(0, 0, -1), offsets.diff());
  const auto types = tensors.find("type_ids");
  return {ids, types == tensors.end() ? torch::zeros_like(ids) : types->second, torch::arange(ids.size(0)) - starts,
          offsets};
}

PackedBatch rows(const PackedBatch& batch, std::int64_t begin, std::int64_t end) {
  const auto from = batch.offsets[begin].item<std::int64_t>(), to = batch.offsets[end].item<std::int64_t>();
  return {batch.ids.slice(0, from, to), batch.type_ids.slice(0, from, to), batch.positions.slice(0, from, to),
          batch.offsets.slice(0, begin, end + 1) - from};
}

// ---------------------------------------------------------------------------------------------------- MiniLM, 64
// reviews

class MiniLM : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("bert_minilm.py", {GRAFT_DEPS "/model", GRAFT_DEPS "/reviews/movieReviewSnippets_GroundTruth.txt",
                                  directory_->path().string()});
    if (!HasFatalFailure()) expected_ = read_tensors(*directory_ / "expected.safetensors");
  }
  static void TearDownTestSuite() { delete directory_; }

  static BertForSequenceClassification load(torch::ScalarType type) {
    return load_pretrained<BertForSequenceClassification>(*directory_ / "model", {.dtype = type}).model;
  }

  static torch::Tensor loss_of(BertForSequenceClassification& model, const PackedBatch& batch,
                               const torch::Tensor& labels) {
    return torch::nn::functional::cross_entropy(model(batch), labels);
  }

  /// Losses of the twenty steps that bert_minilm.py takes.
  static torch::Tensor train(BertForSequenceClassification& model, double lr) {
    constexpr std::int64_t steps = 20, size = 8;
    std::vector<torch::Tensor> trained;
    for (const torch::Tensor& parameter : model->parameters()) {
      if (parameter.requires_grad()) trained.push_back(parameter);
    }
    torch::optim::AdamW optimizer(trained, torch::optim::AdamWOptions(lr));
    const PackedBatch batch = batch_of(expected_);
    std::vector<double> losses;
    model->train();
    for (std::int64_t step = 0; step < steps; ++step) {
      const std::int64_t begin = step * size % batch.sequences();
      const torch::Tensor loss =
          loss_of(model, rows(batch, begin, begin + size), expected_.at("labels").slice(0, begin, begin + size));
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      losses.push_back(loss.item<double>());
    }
    return torch::tensor(losses, torch::kFloat64);
  }

  static void expect_losses(const torch::Tensor& ours, const torch::Tensor& theirs, double tolerance) {
    // Each loss against its own, not against the largest.
    const double error = ((ours - theirs).abs() / theirs).max().item<double>();
    std::cout << "largest relative error of a loss: " << error << "\n";
    EXPECT_LT(error, tolerance) << ours << theirs;
    EXPECT_LT(theirs[-1].item<double>(), theirs[0].item<double>()) << "nothing was learnt";
  }

  static inline TemporaryDirectory* directory_ = nullptr;
  static inline Tensors expected_;
};

// float64: rounding through 6 layers; float32: the same, 2^29 times larger.
const std::vector<std::tuple<torch::ScalarType, std::string, double>> types{{torch::kFloat64, "float64.", 1e-6},
                                                                            {torch::kFloat32, "float32.", 1e-5}};

TEST_F(MiniLM, HiddenStatesAndLogitsAreThoseOfTransformers) {
  const torch::NoGradGuard no_grad;
  const PackedBatch batch = batch_of(expected_);
  for (const auto& [type, prefix, tolerance] : types) {
    const BertStates states = load_pretrained<BertModel>(*directory_ / "model", {.dtype = type}).model(batch);
    EXPECT_LT(relative_error(states.hidden, expected_.at(prefix + "hidden")), tolerance);
    EXPECT_LT(relative_error(states.pooled, expected_.at(prefix + "pooled")), tolerance);
    EXPECT_LT(relative_error(load(type)(batch), expected_.at(prefix + "logits")), tolerance);
  }
}

TEST_F(MiniLM, EveryGradientIsThatOfTransformers) {
  for (const auto& [type, prefix, tolerance] : types) {
    BertForSequenceClassification model = load(type);
    loss_of(model, batch_of(expected_), expected_.at("labels")).backward();
    double largest = 0.0;
    for (const auto& parameter : model->named_parameters()) {
      const torch::Tensor theirs = expected_.at(prefix + "gradient." + parameter.key());
      ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
      if (parameter.key().ends_with("self.key.bias")) {
        // It moves every score of a query alike, which softmax takes out: both sides hold rounding around zero.
        const double scale = expected_
                                 .at(prefix + "gradient." +
                                     std::string(parameter.key()).replace(parameter.key().size() - 8, 8, "query.bias"))
                                 .abs()
                                 .max()
                                 .item<double>();
        EXPECT_LT(parameter->grad().abs().max().item<double>(), 1e-4 * scale) << prefix << parameter.key();
        continue;
      }
      const double error = relative_error(parameter->grad(), theirs);
      EXPECT_LT(error, 1e-4) << prefix << parameter.key();
      largest = std::max(largest, error);
    }
    std::cout << prefix << " largest relative error of a gradient: " << largest << "\n";
  }
}

TEST_F(MiniLM, TwentyStepsInFullFollowTransformers) {
  BertForSequenceClassification model = load(torch::kFloat32);
  expect_losses(train(model, 1e-4), expected_.at("float32.full"), 1e-5);
}

TEST_F(MiniLM, TwentyStepsOfLoraFollowPeft) {
  BertForSequenceClassification model = load(torch::kFloat32);
  for (torch::Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
  for (const auto& module : model->named_modules("", false)) {
    const torch::NoGradGuard no_grad;
    if (module.key() == "classifier") {
      for (torch::Tensor& parameter : module.value()->parameters()) parameter.set_requires_grad(true);
    }
    if (!module.key().ends_with(".query") && !module.key().ends_with(".value")) continue;
    auto& layer = dynamic_cast<Adaptable&>(*module.value());
    layer.add("default", LoraOptions{.rank = 8, .alpha = 16});
    layer.adapter<LowRankAdapter>("default")->lora_A.copy_(expected_.at("lora_A." + module.key()));
  }
  expect_losses(train(model, 1e-3), expected_.at("float32.lora"), 1e-5);
}

// ------------------------------------------------------------------------------------------- small models of every
// kind

class SmallModels : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    run_python("bert_models.py", {directory_->path().string()});
  }
  static void TearDownTestSuite() { delete directory_; }

  static Tensors expected(const std::string& name) {
    return read_tensors(*directory_ / (name + ".expected.safetensors"));
  }

  template <class Model>
  static Model load(const std::string& name) {
    return load_pretrained<Model>(*directory_ / name, {.dtype = torch::kFloat64}).model;
  }

  /// What graft gives for the inputs of `name`, under the names of bert_models.py.
  template <class Model>
  static Tensors outputs(Model& model, const std::string& name) {
    const torch::NoGradGuard no_grad;
    const PackedBatch batch = batch_of(expected(name));
    if constexpr (std::is_same_v<Model, BertModel> || std::is_same_v<Model, MpnetModel>) {
      const BertStates states = model(batch);
      return {{"hidden", states.hidden}, {"pooled", states.pooled}};
    } else {
      return {{"logits", model(batch)}};
    }
  }

  template <class Model>
  static void expect_same(const std::string& name) {
    auto model = load<Model>(name);
    const Tensors theirs = expected(name);
    // float64 rounding through 2 layers.
    for (const auto& [output, ours] : outputs(model, name)) {
      EXPECT_LT(relative_error(ours, theirs.at(output)), 1e-12) << name << " " << output;
    }
  }

  /// Saves the model again and adds what bert_reload.py shall compare.
  template <class Model>
  static void save_again(const std::string& name, const std::string& class_name, std::vector<std::string>& arguments) {
    auto model = load<Model>(name);
    save_pretrained(*directory_ / (name + "-again"), model);
    Tensors results = expected(name);
    for (const auto& [output, ours] : outputs(model, name)) results[output] = ours;
    const std::string file = (*directory_ / (name + "-again.expected.safetensors")).string();
    save_tensors(file, {results.begin(), results.end()});
    arguments.insert(arguments.end(), {class_name, (*directory_ / (name + "-again")).string(), file});
  }

  static inline TemporaryDirectory* directory_ = nullptr;
};

TEST_F(SmallModels, OfTransformersGiveTheSame) {
  for (const std::string family : {"Bert", "Roberta"}) {
    expect_same<BertModel>(family + "Model");
    expect_same<BertForSequenceClassification>(family + "ForSequenceClassification");
    expect_same<BertForTokenClassification>(family + "ForTokenClassification");
    expect_same<BertForQuestionAnswering>(family + "ForQuestionAnswering");
    expect_same<BertForMaskedLM>(family + "ForMaskedLM");
  }
  expect_same<MpnetModel>("MPNetModel");
}

TEST_F(SmallModels, GradientsOfMpnetAreThoseOfTransformers) {
  auto model = load<MpnetModel>("MPNetModel");
  const Tensors theirs = expected("MPNetModel");
  (model->hidden(batch_of(theirs)) * theirs.at("weights")).sum().backward();
  std::size_t compared = 0;
  double largest = 0;
  for (const auto& parameter : model->named_parameters()) {
    if (parameter.key().starts_with("pooler.")) continue;
    ++compared;
    const torch::Tensor expected = theirs.at("gradient." + parameter.key());
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    if (parameter.key().ends_with("attn.k.bias")) {
      // Zero but for rounding, as in BERT.
      EXPECT_LT(parameter->grad().abs().max().item<double>(), 1e-12 * theirs.at("weights").abs().sum().item<double>());
      continue;
    }
    largest = std::max(largest, relative_error(parameter->grad(), expected));
    EXPECT_LT(relative_error(parameter->grad(), expected), 1e-10) << parameter.key();  // float64 through 2 layers
  }
  EXPECT_EQ(compared, 4 + 1 + 2 * 16);
  std::cout << "largest relative error of a gradient: " << largest << "\n";
}

TEST_F(SmallModels, InShardsAndOtherTypesAndNamesGiveTheSame) {
  for (const auto* name : {"sharded", "bfloat16", "float16", "float64", "no_prefix"}) {
    expect_same<BertForSequenceClassification>(name);
  }
  expect_same<BertForMaskedLM>("old_names");
}

TEST_F(SmallModels, SavedByGraftGiveTransformersTheSame) {
  std::vector<std::string> arguments;
  for (const std::string family : {"Bert", "Roberta"}) {
    save_again<BertModel>(family + "Model", family + "Model", arguments);
    save_again<BertForSequenceClassification>(family + "ForSequenceClassification",
                                              family + "ForSequenceClassification", arguments);
    save_again<BertForTokenClassification>(family + "ForTokenClassification", family + "ForTokenClassification",
                                           arguments);
    save_again<BertForQuestionAnswering>(family + "ForQuestionAnswering", family + "ForQuestionAnswering", arguments);
    save_again<BertForMaskedLM>(family + "ForMaskedLM", family + "ForMaskedLM", arguments);
  }
  save_again<MpnetModel>("MPNetModel", "MPNetModel", arguments);
  run_python("bert_reload.py", arguments);
}

}  // namespace
}  // namespace graft
