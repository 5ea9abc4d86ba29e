// Ten steps of preference optimisation beside TRL's DPOTrainer, on a model and an adapter of its own making.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/json.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/load.hpp"
#include "graft/training/preference_loss.hpp"
#include "graft/training/step.hpp"
#include "support/python.hpp"
#include "support/temporary_directory.hpp"

namespace graft::preference_parity_test {
namespace {

using Scores = SequenceLogProbabilities;

TEST(PreferenceParity, LossesAndRewardsOfTenStepsAreThoseOfTrl) {
  const TemporaryDirectory directory;
  run_python("preferences.py", {GRAFT_DEPS, directory.path().string()});
  constexpr double beta = 0.3;
  struct Way {
    const char* name;
    bool from_adapter;  // the reference is the adapter as it was at first
    std::function<PreferenceLoss(const Scores&, const Scores&)> loss_of;
  };
  const Way ways[] = {
      {"dpo", false, [](const Scores& p, const Scores& r) { return dpo_loss(p, r, {.beta = beta}); }},
      {"normalised", true,
       [](const Scores& p, const Scores& r) { return length_normalised_dpo_loss(p, r, {.beta = beta}); }},
      {"ipo", true, [](const Scores& p, const Scores& r) { return ipo_loss(p, r, beta); }},
      {"mixed", false, [](const Scores& p, const Scores& r) {
         PreferenceLoss loss = dpo_loss(p, r, {.beta = beta});
         loss.loss = mixed(loss.loss, chosen_loss(p), 0.7);
         return loss;
       }}};
  for (const auto& [name, from_adapter, loss_of] : ways) {
    CausalLM model = load_pretrained<CausalLM>(directory.path() / "model").model;
    std::vector<ActiveAdapter> reference;
    if (from_adapter) {
      load_adapter(directory.path() / "adapter", *model, "first");
      reference = {{"first", 1.0}};
    }
    load_adapter(directory.path() / "adapter", *model);
    choose(*model, "default");
    train_only(*model, {"default"});
    model->train();
    model->checkpoint_layers(true);
    AdamW optimizer(decay_groups(*model, 5e-3, 0.01));
    const Json steps = read_json(directory.path() / (std::string(name) + ".json"));
    ASSERT_EQ(steps.size(), 10U);
    for (const Json& step : steps) {
      std::vector<std::vector<std::int32_t>> ids;
      for (const char* side : {"chosen", "rejected"}) {
        for (const Json& row : step.at(side)) ids.push_back(row.get<std::vector<std::int32_t>>());
      }
      std::vector<std::int64_t> labels;
      for (std::size_t n = 0; n < ids.size(); ++n) {
        const auto prompt = step.at("prompts")[n].get<std::size_t>();
        for (std::size_t t = 0; t < ids[n].size(); ++t) labels.push_back(t < prompt ? -100 : ids[n][t]);
      }
      const auto scores = [&] {
        const auto [values, offsets] = model->log_probabilities(pack(ids), torch::tensor(labels, torch::kInt64));
        return sequence_log_probabilities(values, offsets);
      };
      PreferenceLoss preference;
      const StepGradients made = make_gradients(
          optimizer, 1,
          [&](std::size_t) {
            const Scores as_reference = reference_log_probabilities(*model, scores, reference);
            preference = loss_of(scores(), as_reference);
            return preference.loss;
          },
          /*clip_norm=*/1.0);
      const auto mean = [](const torch::Tensor& rewards) { return rewards.mean().item<double>(); };
      EXPECT_NEAR(made.loss.mean().item<double>(), step.at("loss").get<double>(), 1e-5) << name;
      EXPECT_NEAR(mean(preference.chosen_rewards), step.at("chosen_reward").get<double>(), 1e-5) << name;
      EXPECT_NEAR(mean(preference.rejected_rewards), step.at("rejected_reward").get<double>(), 1e-5) << name;
      EXPECT_NEAR(preference.margin(), step.at("margin").get<double>(), 1e-5) << name;
      // Where the reference is the very adapter that is trained, the first rewards are rounding.
      if (!from_adapter || &step != &steps.front()) {
        EXPECT_EQ(preference.accuracy(), step.at("accuracy").get<double>()) << name;
      }
      optimizer.step(1.0, made.scale.divisor);
    }
  }
}

}  // namespace
}  // namespace graft::preference_parity_test
