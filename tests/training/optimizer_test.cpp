#include "graft/training/optimizer.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/simd.hpp"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/utils.h>

#include "support/error_message.hpp"

namespace graft::optimizer_test {
namespace {

struct NetImpl : torch::nn::Module {
  explicit NetImpl(torch::Dtype type = torch::kDouble) {
    first = register_module("first", torch::nn::Linear(5, 7));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({7})));
    second = register_module("second", torch::nn::Linear(7, 3));
    to(type);
  }
  torch::Tensor forward(const torch::Tensor& x) { return second(torch::tanh(norm(first(x)))); }
  torch::nn::Linear first{nullptr}, second{nullptr};
  torch::nn::LayerNorm norm{nullptr};
};
TORCH_MODULE(Net);

/// Two nets with the same weights.
std::pair<Net, Net> twins(torch::Dtype type = torch::kDouble) {
  torch::manual_seed(3);
  Net a(type), b(type);
  torch::NoGradGuard no_grad;
  for (const auto& item : a->named_parameters()) b->named_parameters()[item.key()].copy_(item.value());
  return {a, b};
}

double largest_difference(const torch::nn::Module& a, const torch::nn::Module& b) {
  double largest = 0.0;
  const auto others = b.named_parameters();
  for (const auto& item : a.named_parameters()) {
    largest = std::max(largest, (item.value() - others[item.key()]).abs().max().item<double>());
  }
  return largest;
}

torch::optim::AdamW plain_adamw(const std::vector<ParameterGroup>& groups) {
  std::vector<torch::optim::OptimizerParamGroup> plain;
  for (const auto& group : groups) {
    std::vector<torch::Tensor> tensors;
    for (const auto& parameter : group.parameters) tensors.push_back(parameter.second);
    plain.emplace_back(tensors, std::make_unique<torch::optim::AdamWOptions>(
                                    torch::optim::AdamWOptions(group.lr).weight_decay(group.weight_decay)));
  }
  return torch::optim::AdamW(plain, torch::optim::AdamWOptions(1e-3));
}

/// The largest difference to LibTorch's own AdamW and clip_grad_norm_ after 20 steps.
double difference_to_plain(torch::Dtype type, double clip_norm, double count) {
  auto [fused, plain] = twins(type);
  AdamW optimizer(decay_groups(*fused, 1e-2, 0.1));
  auto reference = plain_adamw(decay_groups(*plain, 1e-2, 0.1));
  for (int step = 0; step < 20; ++step) {
    const auto x = torch::randn({8, 5}, type);
    optimizer.zero_grad();
    fused->forward(x).square().sum().backward();
    const auto scale = gradient_scale(optimizer.parameters(), count, clip_norm);
    optimizer.step(1.0, scale.divisor);

    reference.zero_grad();
    (plain->forward(x).square().sum() / count).backward();
    const double norm = torch::nn::utils::clip_grad_norm_(plain->parameters(), clip_norm);
    // In float32 the two nets themselves drift apart.
    EXPECT_NEAR(scale.norm.item<double>() / norm, 1.0, type == torch::kDouble ? 1e-6 : 1e-4);
    reference.step();
  }
  return largest_difference(*fused, *plain);
}

TEST(AdamW, EqualsTheLoopOverParameters) { EXPECT_LT(difference_to_plain(torch::kDouble, 1e9, 1.0), 1e-12); }

// The divisor is a float32: it may round by 6e-8, and twenty steps of 0.01 carry that on.
TEST(AdamW, ClipsAsClipGradNorm) { EXPECT_LT(difference_to_plain(torch::kDouble, 0.5, 1.0), 2e-8); }

TEST(AdamW, DividesByTheCount) {
  EXPECT_LT(difference_to_plain(torch::kDouble, 1e9, 8.0), 1e-12);
  EXPECT_LT(difference_to_plain(torch::kDouble, 0.01, 24.0), 2e-8);
}

TEST(AdamW, IsAsCloseInFloat32) { EXPECT_LT(difference_to_plain(torch::kFloat, 0.5, 8.0), 1e-5); }

TEST(AdamW, LeavesTheGradientAsItIs) {
  auto [net, other] = twins();
  AdamW optimizer(decay_groups(*net, 1e-2, 0.0));
  net->forward(torch::randn({8, 5}, torch::kDouble)).square().sum().backward();
  const auto before = net->first->weight.grad().clone();
  optimizer.step(1.0, gradient_scale(optimizer.parameters(), 1.0, 0.25).divisor);
  EXPECT_TRUE(net->first->weight.grad().equal(before));
}

/// Parameters of all kinds of sizes, among them none, less than a vector and more than a thread takes at once; the
/// last lies by columns.
std::vector<torch::Tensor> parameters_of_all_sizes(torch::Dtype type) {
  torch::manual_seed(8);
  std::vector<torch::Tensor> out;
  for (const std::int64_t n : {0, 1, 15, 16, 17, 1000, 16384, 16385, 50000}) out.push_back(torch::randn({n}, type));
  out.push_back(torch::randn({70, 33}, type).t());
  for (auto& tensor : out) tensor.requires_grad_(true);
  return out;
}

/// Three steps with gradients of random sizes, clipped; the optimizer's state after them.
NamedTensors train(std::vector<torch::Tensor>& parameters) {
  torch::manual_seed(9);
  ParameterGroup group{.parameters = {}, .lr = 1e-2, .weight_decay = 0.1};
  for (std::size_t i = 0; i < parameters.size(); ++i) group.parameters.emplace_back(std::to_string(i), parameters[i]);
  AdamW optimizer({group});
  for (int step = 0; step < 3; ++step) {
    for (auto& tensor : parameters) {
      const auto grad = torch::randn(tensor.sizes(), torch::kDouble) * std::pow(10.0, step - 1);
      tensor.mutable_grad() = grad.to(tensor.scalar_type());
    }
    optimizer.step(0.5, gradient_scale(group.parameters, 4.0, 1.0).divisor);
  }
  return optimizer.state();
}

class AdamWLevels : public testing::TestWithParam<Simd> {};

TEST_P(AdamWLevels, EqualsLibTorchsInFloat64) {
  const SimdScope level(GetParam());
  auto wide = parameters_of_all_sizes(torch::kDouble), narrow = parameters_of_all_sizes(torch::kDouble), plain = wide;
  for (auto& tensor : plain) tensor = tensor.detach().clone().requires_grad_(true);
  for (auto& tensor : narrow) tensor = tensor.detach().to(torch::kFloat).requires_grad_(true);
  const NamedTensors wide_state = train(wide), narrow_state = train(narrow);
  torch::optim::AdamW reference(plain, torch::optim::AdamWOptions(0.5e-2).weight_decay(0.1));
  torch::manual_seed(9);
  for (int step = 0; step < 3; ++step) {
    for (auto& tensor : plain)
      tensor.mutable_grad() = torch::randn(tensor.sizes(), torch::kDouble) * std::pow(10.0, step - 1) / 4.0;
    torch::nn::utils::clip_grad_norm_(plain, 1.0);
    reference.step();
  }
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i].numel() == 0) continue;
    // The divisor is a float32.
    EXPECT_LT((wide[i] - plain[i]).abs().max().item<double>(), 1e-8) << i;
    EXPECT_LT((narrow[i].to(torch::kDouble) - plain[i]).abs().max().item<double>(), 2e-6) << i;
  }
  for (std::size_t i = 0; i < wide_state.size(); ++i) {
    const auto& [name, exact] = wide_state[i];
    if (exact.numel() == 0) continue;
    const double error = (narrow_state[i].second.to(torch::kDouble) - exact).abs().max().item<double>();
    EXPECT_LT(error, 1e-6 * exact.abs().max().item<double>()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Simd, AdamWLevels, testing::Values(Simd::baseline, Simd::avx2, Simd::avx512));

TEST(AdamW, HasTheSameBitsAtAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  auto alone = parameters_of_all_sizes(torch::kFloat);
  train(alone);
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    auto parameters = parameters_of_all_sizes(torch::kFloat);
    train(parameters);
    for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(parameters[i].equal(alone[i])) << i;
  }
  at::set_num_threads(before);
}

TEST(AdamW, GivesWhatItWritesANewVersion) {
  auto [net, other] = twins();
  AdamW optimizer(decay_groups(*net, 1e-2, 0.0));
  net->forward(torch::randn({8, 5}, torch::kDouble)).square().sum().backward();
  const auto version = net->first->weight._version();
  optimizer.step();
  EXPECT_GT(net->first->weight._version(), version);
}

TEST(AdamW, GivesEachGroupItsRateTimesTheMultiplier) {
  auto [net, other] = twins();
  const auto start = other;
  std::vector<ParameterGroup> groups = {
      {.parameters = {{"first.weight", net->first->weight}}, .lr = 1e-3},
      {.parameters = {{"second.weight", net->second->weight}}, .lr = 16e-3},
  };
  AdamW optimizer(groups);
  net->forward(torch::randn({8, 5}, torch::kDouble)).square().sum().backward();
  optimizer.step(0.5);
  // Adam's first step is lr in every element, but for eps.
  const auto moved = [](const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); };
  EXPECT_NEAR(moved(net->first->weight, start->first->weight), 0.5e-3, 1e-9);
  EXPECT_NEAR(moved(net->second->weight, start->second->weight), 8e-3, 1e-9);
  EXPECT_EQ(moved(net->first->bias, start->first->bias), 0.0);
}

TEST(AdamW, TakesTheMultiplierAndTheCountAsTensors) {
  auto [numbers, tensors] = twins();
  AdamW by_number(decay_groups(*numbers, 1e-2, 0.1)), by_tensor(decay_groups(*tensors, 1e-2, 0.1));
  for (const float multiplier : {1.0f, 0.5f, 0.25f, 0.0f}) {
    const auto x = torch::randn({8, 5}, torch::kDouble);
    numbers->forward(x).square().sum().backward();
    tensors->forward(x).square().sum().backward();
    by_number.step(multiplier, gradient_scale(by_number.parameters(), 8.0, 0.5).divisor);
    by_tensor.step(torch::tensor(multiplier), gradient_scale(by_tensor.parameters(), torch::tensor(8), 0.5).divisor);
  }
  // A rate in a tensor is a float32: 6e-8 of four steps of 0.01.
  EXPECT_LT(largest_difference(*numbers, *tensors), 4e-9);
  EXPECT_GT(largest_difference(*numbers, *twins().first), 1e-3);
}

TEST(AdamW, PassesOverParametersWithoutAGradient) {
  auto [net, start] = twins();
  AdamW optimizer(decay_groups(*net, 1e-2, 0.1));
  net->first->forward(torch::ones({1, 5}, torch::kDouble)).sum().backward();
  optimizer.step();
  EXPECT_TRUE(net->second->weight.equal(start->second->weight));
  EXPECT_FALSE(net->first->weight.equal(start->first->weight));
  for (const auto& [name, tensor] : optimizer.state()) {
    if (name == "first.weight.step") {
      EXPECT_EQ(tensor.item<float>(), 1.0f);
    } else if (name == "second.weight.step") {
      EXPECT_EQ(tensor.item<float>(), 0.0f);
    }
  }
}

TEST(AdamW, TakesAGradientInAnotherMemoryOrder) {
  auto [net, start] = twins();
  AdamW optimizer({{.parameters = {{"first.weight", net->first->weight}}, .lr = 1e-2}});
  AdamW plain({{.parameters = {{"first.weight", start->first->weight}}, .lr = 1e-2}});
  const auto grad = torch::randn({7, 5}, torch::kDouble);
  net->first->weight.mutable_grad() = grad.t().contiguous().t();
  start->first->weight.mutable_grad() = grad.clone();
  optimizer.step();
  plain.step();
  EXPECT_TRUE(net->first->weight.equal(start->first->weight));
}

TEST(AdamW, HoldsStateForWhatIsTrainedOnly) {
  Net net;
  for (auto& parameter : net->first->parameters()) parameter.requires_grad_(false);
  AdamW optimizer(decay_groups(*net, 1e-2, 0.1));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : optimizer.state()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"second.weight.exp_avg", "second.weight.exp_avg_sq", "second.weight.step",
                                             "norm.weight.exp_avg", "norm.weight.exp_avg_sq", "norm.weight.step",
                                             "norm.bias.exp_avg", "norm.bias.exp_avg_sq", "norm.bias.step",
                                             "second.bias.exp_avg", "second.bias.exp_avg_sq", "second.bias.step"}));
}

TEST(AdamW, ContinuesFromASavedStateBitByBit) {
  auto [whole, resumed] = twins();
  std::vector<torch::Tensor> inputs;
  for (int i = 0; i < 6; ++i) inputs.push_back(torch::randn({8, 5}, torch::kDouble));
  const auto train = [&](Net& net, AdamW& optimizer, int from, int to) {
    for (int i = from; i < to; ++i) {
      optimizer.zero_grad();
      net->forward(inputs[static_cast<std::size_t>(i)]).square().sum().backward();
      optimizer.step();
    }
  };
  AdamW optimizer(decay_groups(*whole, 1e-2, 0.1));
  train(whole, optimizer, 0, 6);

  AdamW first(decay_groups(*resumed, 1e-2, 0.1));
  train(resumed, first, 0, 3);
  AdamW second(decay_groups(*resumed, 1e-2, 0.1));
  second.load_state(first.state());
  train(resumed, second, 3, 6);
  EXPECT_EQ(largest_difference(*whole, *resumed), 0.0);
}

// A weight of bfloat16 under an optimizer, beside a float32 one that starts alike and gets the same gradients.
class AdamWOnBfloat16 : public testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(5);
    narrow_ = torch::randn({6, 4}, torch::kBFloat16).requires_grad_(true);
    wide_ = narrow_.detach().to(torch::kFloat).requires_grad_(true);
    optimizer_ = make(narrow_);
  }
  static std::unique_ptr<AdamW> make(const torch::Tensor& weight) {
    return std::make_unique<AdamW>(
        std::vector<ParameterGroup>{{.parameters = {{"weight", weight}}, .lr = 1e-4, .weight_decay = 0.1}});
  }
  static void step(torch::Tensor& weight, AdamW& optimizer, const torch::Tensor& grad) {
    weight.mutable_grad() = grad.to(weight.scalar_type());
    optimizer.step(1.0, torch::tensor(2.0f));
  }

  torch::Tensor narrow_, wide_;
  std::unique_ptr<AdamW> optimizer_;
};

TEST_F(AdamWOnBfloat16, IsTheRoundingOfAFloat32Training) {
  const auto reference = make(wide_);
  const torch::Tensor start = narrow_.detach().clone();
  for (int i = 0; i < 300; ++i) {
    const torch::Tensor grad = torch::randn({6, 4}, torch::kBFloat16) + 1.0;
    step(narrow_, *optimizer_, grad);
    step(wide_, *reference, grad);
    ASSERT_TRUE(torch::equal(narrow_, wide_.to(torch::kBFloat16))) << i;
  }
  // One step is a hundredth of the distance between two neighbours of bfloat16 near 1.
  EXPECT_TRUE(narrow_.ne(start).all().item<bool>());
}

TEST_F(AdamWOnBfloat16, StartsAnewWhereTheWeightWasWrittenTo) {
  const auto reference = make(wide_);
  step(narrow_, *optimizer_, torch::ones({6, 4}));
  step(wide_, *reference, torch::ones({6, 4}));
  {
    torch::NoGradGuard no_grad;
    narrow_.fill_(3.0);
    wide_.fill_(3.0);
  }
  step(narrow_, *optimizer_, torch::ones({6, 4}));
  step(wide_, *reference, torch::ones({6, 4}));
  EXPECT_TRUE(torch::equal(optimizer_->state().back().second, wide_));
  EXPECT_EQ(optimizer_->state().back().first, "weight.master");
}

TEST_F(AdamWOnBfloat16, TakesAReplayForNoWriteByOthers) {
  const auto reference = make(wide_);
  for (int i = 0; i < 5; ++i) {
    step(narrow_, *optimizer_, torch::ones({6, 4}));
    step(wide_, *reference, torch::ones({6, 4}));
    const auto version = narrow_._version();
    optimizer_->note_replay();
    EXPECT_GT(narrow_._version(), version);
    EXPECT_TRUE(torch::equal(optimizer_->updated().front().second, wide_)) << i;
  }
  {
    torch::NoGradGuard no_grad;
    narrow_.fill_(3.0);
  }
  optimizer_->renew_masters();
  EXPECT_TRUE(optimizer_->updated().front().second.eq(3.0).all().item<bool>());
}

TEST_F(AdamWOnBfloat16, ContinuesFromASavedStateBitByBit) {
  torch::Tensor resumed = narrow_.detach().clone().requires_grad_(true);
  const auto first = make(resumed);
  std::vector<torch::Tensor> grads;
  for (int i = 0; i < 40; ++i) grads.push_back(torch::randn({6, 4}) + 1.0);
  for (const torch::Tensor& grad : grads) step(narrow_, *optimizer_, grad);
  for (int i = 0; i < 20; ++i) step(resumed, *first, grads[i]);
  const auto second = make(resumed);
  second->load_state(first->state());
  for (int i = 20; i < 40; ++i) step(resumed, *second, grads[i]);
  EXPECT_TRUE(torch::equal(resumed, narrow_));
  EXPECT_TRUE(torch::equal(second->state().back().second, optimizer_->state().back().second));
}

TEST(AdamW, RefusesAStateThatDoesNotFitAndChangesNothing) {
  auto [net, other] = twins();
  AdamW optimizer({{.parameters = {{"first.weight", net->first->weight}, {"first.bias", net->first->bias}}}});
  const NamedTensors state = {
      {"first.weight.exp_avg", torch::ones({7, 5}, torch::kDouble)},
      {"first.weight.exp_avg_sq", torch::ones({5, 7}, torch::kDouble)},
      {"first.weight.step", torch::ones({})},
      {"first.bias.exp_avg", torch::ones({7})},
      {"first.bias.step", torch::ones({})},
      {"query.step", torch::ones({})},
  };
  EXPECT_EQ(
      error_message([&] { optimizer.load_state(state); }),
      "FormatError: the state is of another optimizer; it holds \"first.weight.exp_avg_sq\" as double [5, 7] where "
      "double [7, 5] is needed; it holds \"first.bias.exp_avg\" as float [7] where double [7] is needed; it lacks "
      "\"first.bias.exp_avg_sq\"; it holds \"query.step\", not trained here");
  for (const auto& [name, tensor] : optimizer.state()) EXPECT_EQ(tensor.abs().sum().item<double>(), 0.0) << name;
}

TEST(AdamW, NamesEveryParameterItCannotTrain) {
  Net net;
  net->first->bias.requires_grad_(false);
  const std::vector<ParameterGroup> groups = {{.parameters = {{"first.weight", net->first->weight},
                                                              {"first.bias", net->first->bias},
                                                              {"again", net->first->weight}},
                                               .lr = -1.0}};
  EXPECT_EQ(error_message([&] { AdamW(groups, {.beta1 = 1.0}); }),
            "OptionError: AdamW: beta1 is 1, it must lie in [0, 1); lr is -1, it must be finite and at least 0; "
            "\"first.bias\" does not require a gradient; \"again\" comes twice");
  EXPECT_EQ(error_message([] { AdamW({}); }), "OptionError: AdamW: there is no parameter to train");
}

TEST(DecayGroups, LeaveBiasesAndNormsOut) {
  Net net;
  const auto groups = decay_groups(*net, 1e-3, 0.01);
  ASSERT_EQ(groups.size(), 2u);
  const auto names = [](const ParameterGroup& group) {
    std::vector<std::string> out;
    for (const auto& parameter : group.parameters) out.push_back(parameter.first);
    return out;
  };
  EXPECT_EQ(names(groups[0]), (std::vector<std::string>{"first.weight", "second.weight"}));
  EXPECT_EQ(groups[0].weight_decay, 0.01);
  EXPECT_EQ(names(groups[1]), (std::vector<std::string>{"first.bias", "norm.weight", "norm.bias", "second.bias"}));
  EXPECT_EQ(groups[1].weight_decay, 0.0);
  EXPECT_EQ(groups[1].lr, 1e-3);
}

TEST(TrainedParameters, NamesATiedTensorOnce) {
  struct Tied : torch::nn::Module {
    Tied() {
      const auto weight = register_parameter("input", torch::ones({3, 3}));
      register_parameter("output", weight);
    }
  } tied;
  const auto trained = trained_parameters(tied);
  ASSERT_EQ(trained.size(), 1u);
  EXPECT_EQ(trained[0].first, "input");
}

TEST(GradientScale, MeasuresMixedElementTypes) {
  auto a = torch::zeros({2}, torch::kDouble).requires_grad_();
  auto b = torch::zeros({1}, torch::kBFloat16).requires_grad_();
  a.mutable_grad() = torch::tensor({3.0, 0.0}, torch::kDouble);
  b.mutable_grad() = torch::tensor({4.0}, torch::kBFloat16);
  const NamedTensors parameters = {{"a", a}, {"b", b}};
  EXPECT_DOUBLE_EQ(gradient_scale(parameters).norm.item<double>(), 5.0);
  const auto scale = gradient_scale(parameters, 10.0, 0.05);
  EXPECT_DOUBLE_EQ(scale.norm.item<double>(), 0.5);
  EXPECT_NEAR(scale.divisor.item<double>(), 100.0, 1e-3);
}

TEST(GradientScale, IsExactForManyElements) {
  torch::manual_seed(10);
  auto weight = torch::zeros({3000, 700}).requires_grad_();
  weight.mutable_grad() = torch::randn({3000, 700}) * 1e-3;
  const double exact = weight.grad().to(torch::kDouble).norm().item<double>();
  EXPECT_NEAR(gradient_scale({{"weight", weight}}).norm.item<double>() / exact, 1.0, 1e-6);
}

TEST(GradientScale, RefusesWhatItCannotDivideBy) {
  EXPECT_EQ(error_message([] { gradient_scale({}, 0.0); }),
            "OptionError: gradients of 0 rows; the count must be above 0");
  EXPECT_EQ(error_message([] { gradient_scale({}, torch::tensor(0)); }),
            "OptionError: gradients of 0 rows; the count must be above 0");
  EXPECT_EQ(error_message([] { gradient_scale({}, 1.0, 0.0); }), "OptionError: clip_norm is 0; it must be above 0");
}

}  // namespace
}  // namespace graft::optimizer_test
