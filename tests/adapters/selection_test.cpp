#include "graft/adapters/selection.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "graft/adapters/kinds/dora.hpp"
#include "graft/adapters/kinds/ia3.hpp"
#include "graft/adapters/kinds/token_rows.hpp"
#include "graft/training/optimizer.hpp"
#include "support/error_message.hpp"

namespace graft::selection_test {
namespace {

/// Tokens go through an embedding and two layers, the first of each sequence through a pooler: [T] -> [N, 4].
struct NetImpl : torch::nn::Module {
  NetImpl() {
    words = register_module("words", Embedding(torch::nn::EmbeddingOptions(20, 6)));
    up = register_module("up", Linear(torch::nn::LinearOptions(6, 8)));
    down = register_module("down", Linear(torch::nn::LinearOptions(8, 6)));
    pooler = register_module("pooler", Linear(torch::nn::LinearOptions(6, 4)));
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& offsets) {
    torch::Tensor x = words(ids);
    x = x + down(torch::tanh(up(x)));
    return torch::tanh(pooler(x.index_select(0, offsets.narrow(0, 0, offsets.size(0) - 1))));
  }
  Embedding words = nullptr;
  Linear up = nullptr, down = nullptr, pooler = nullptr;
};

const torch::Tensor ids = torch::tensor({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 3});
const torch::Tensor offsets = torch::tensor({0, 3, 4, 8, 9, 12}, torch::kLong);

void randomise(torch::nn::Module& module, const std::string& name) {
  const torch::NoGradGuard no_grad;
  for (const auto& [path, layer] : adaptable_layers(module)) {
    if (const auto slot = layer->adapter(name)) {
      for (torch::Tensor& parameter : slot->parameters()) parameter.add_(torch::randn_like(parameter), 0.3);
    }
  }
}

/// One adapter of each kind, all of them on more than one layer.
void add_all_kinds(NetImpl& net) {
  attach(net, {.rank = 2}, {.layers = {"words", "up", "down", "pooler"}}, "lora");
  attach(net, {.rank = 3, .alpha = 5}, {.layers = {"up", "down"}}, "other");
  attach(net, {.rank = 2, .bias = true}, {.layers = {"up", "pooler"}}, "biased");
  attach(net, {.rank = 2, .start = LowRankStart::pissa}, {.layers = {"up", "down"}}, "pissa");
  attach(net, DoraOptions({.rank = 2}), {.layers = {"words", "down", "pooler"}}, "dora");
  attach(net, Ia3Options{.feed_forward = {"pooler"}}, {.layers = {"up", "pooler"}}, "ia3");
  train_token_rows(net, "words", {3, 9}, "rows");
  for (const std::string& name : adapters(net)) randomise(net, name);
  train_only(net, adapters(net));
}

/// What `names` give, one sequence at a time.
torch::Tensor one_by_one(NetImpl& net, const std::vector<std::string>& names) {
  std::vector<torch::Tensor> rows;
  const auto* ends = offsets.const_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < names.size(); ++i) {
    choose(net, names[i].empty() ? std::vector<ActiveAdapter>{} : std::vector<ActiveAdapter>{{names[i], 1.0}});
    const std::int64_t length = ends[i + 1] - ends[i];
    rows.push_back(net.forward(ids.narrow(0, ends[i], length), torch::tensor({std::int64_t(0), length}, torch::kLong)));
  }
  return torch::cat(rows);
}

std::vector<torch::Tensor> gradients(NetImpl& net, const torch::Tensor& y) {
  net.zero_grad();
  (y * torch::linspace(0.5, 2.0, y.numel(), torch::kFloat64).view_as(y)).sum().backward();
  std::vector<torch::Tensor> all;
  for (const auto& parameter : net.named_parameters()) {
    all.push_back(parameter.value().grad().defined() ? parameter.value().grad().clone() : torch::Tensor());
  }
  return all;
}

TEST(Selection, AMixedBatchGivesWhatEachSequenceGetsAlone) {
  torch::manual_seed(1);
  NetImpl net;
  add_all_kinds(net);
  const std::vector<std::vector<std::string>> batches{{"lora", "other", "", "other", "lora"},
                                                      {"lora", "lora", "other", "other", "other"},
                                                      {"biased", "pissa", "dora", "ia3", "rows"},
                                                      {"rows", "", "rows", "dora", "dora"},
                                                      {"", "", "", "", ""}};
  for (const auto& names : batches) {
    const torch::Tensor expected = one_by_one(net, names);
    const auto expected_gradients = names[0].empty() ? std::vector<torch::Tensor>() : gradients(net, expected);
    choose(net, "other");
    const AdapterSelection mixed(net, offsets, names);
    torch::Tensor y;
    {
      const AdapterScope scope(mixed);
      y = net.forward(ids, offsets);
    }
    EXPECT_TRUE(torch::allclose(y, expected, 1e-12, 1e-12)) << torch::str(names);
    if (names[0].empty()) continue;
    const auto found = gradients(net, y);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const bool zero = !found[i].defined() || found[i].abs().max().item<double>() == 0;
      if (!expected_gradients[i].defined()) {
        EXPECT_TRUE(zero) << net.named_parameters()[i].key();
      } else {
        ASSERT_TRUE(found[i].defined()) << net.named_parameters()[i].key();
        EXPECT_TRUE(torch::allclose(found[i], expected_gradients[i], 1e-10, 1e-12)) << net.named_parameters()[i].key();
      }
    }
  }
}

/// Trains `name` on the sequences that are its own, in a batch with the others or without them.
struct Task {
  std::string name;
  double lr;
  torch::nn::Linear head;
  AdamW optimizer;
};

Task make_task(NetImpl& net, const std::string& name, double lr, std::int64_t labels) {
  torch::manual_seed(static_cast<std::uint64_t>(labels));
  attach(net, {.rank = 2}, {.layers = {"up", "down", "pooler"}}, name);
  torch::nn::Linear head(4, labels);
  head->to(torch::kFloat64);
  NamedTensors parameters;
  for (const auto& parameter : head->named_parameters())
    parameters.emplace_back(name + "." + parameter.key(), parameter.value());
  for (const auto& [path, layer] : adaptable_layers(net)) {
    const auto slot = layer->adapter(name);
    if (!slot) continue;
    for (const auto& parameter : slot->named_parameters()) {
      parameters.emplace_back(path + "." + parameter.key(), parameter.value());
    }
  }
  return {name, lr, head, AdamW({{.parameters = parameters, .lr = lr}})};
}

torch::Tensor loss_of(Task& task, const torch::Tensor& pooled, std::int64_t label) {
  return torch::nn::functional::cross_entropy(task.head(pooled), torch::full({pooled.size(0)}, label, torch::kLong));
}

void take_step(Task& task) {
  const auto scale = gradient_scale(task.optimizer.parameters(), 1.0, 1.0);
  task.optimizer.step(1.0, scale.divisor);
  task.optimizer.zero_grad();
}

TEST(Selection, AdaptersTrainedInOneBatchAreThoseTrainedAlone) {
  const std::vector<std::string> names{"b", "a", "c", "a", "b"};
  const auto net_of_seed = [] {
    torch::manual_seed(3);
    return std::make_shared<NetImpl>();
  };
  const auto together = net_of_seed();
  std::vector<Task> tasks;
  tasks.push_back(make_task(*together, "a", 1e-2, 2));
  tasks.push_back(make_task(*together, "b", 3e-2, 3));
  tasks.push_back(make_task(*together, "c", 1e-3, 5));
  train_only(*together, {"a", "b", "c"});
  const AdapterSelection mixed(*together, offsets, names);
  for (int step = 0; step < 6; ++step) {
    const AdapterScope scope(mixed);
    const torch::Tensor pooled = together->forward(ids, offsets);
    torch::Tensor loss = torch::zeros({}, torch::kFloat64);
    for (Task& task : tasks) {
      std::vector<std::int64_t> own;
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i] == task.name) own.push_back(static_cast<std::int64_t>(i));
      }
      loss = loss + loss_of(task, pooled.index_select(0, torch::tensor(own, torch::kLong)), 1);
    }
    loss.backward();
    for (Task& task : tasks) take_step(task);
  }

  for (Task& task : tasks) {
    const auto alone = net_of_seed();
    Task same = make_task(*alone, task.name, task.lr, task.head->weight.size(0));
    std::vector<torch::Tensor> own_ids, own_offsets{torch::zeros({1}, torch::kLong)};
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] != task.name) continue;
      const auto first = offsets[static_cast<std::int64_t>(i)].item<std::int64_t>();
      const auto end = offsets[static_cast<std::int64_t>(i) + 1].item<std::int64_t>();
      own_ids.push_back(ids.narrow(0, first, end - first));
      own_offsets.push_back(own_offsets.back() + (end - first));
    }
    for (int step = 0; step < 6; ++step) {
      loss_of(same, alone->forward(torch::cat(own_ids), torch::cat(own_offsets)), 1).backward();
      take_step(same);
    }
    const auto expected = same.optimizer.parameters(), found = task.optimizer.parameters();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(torch::allclose(found[i].second, expected[i].second, 1e-10, 1e-12)) << found[i].first;
    }
  }
}

TEST(Selection, ScopesNestAndEnd) {
  torch::manual_seed(4);
  NetImpl net;
  const torch::Tensor base = net.forward(ids, offsets);
  attach(net, {.rank = 2}, {.layers = {"up"}}, "a");
  randomise(net, "a");
  const torch::Tensor adapted = net.forward(ids, offsets);
  ASSERT_FALSE(torch::equal(adapted, base));
  const AdapterSelection none(net), half(net, std::vector<ActiveAdapter>{{"a", 0.5}});
  {
    const AdapterScope outer(none);
    EXPECT_TRUE(torch::equal(net.forward(ids, offsets), base));
    {
      const AdapterScope inner(half);
      EXPECT_FALSE(torch::equal(net.forward(ids, offsets), base));
      EXPECT_FALSE(torch::equal(net.forward(ids, offsets), adapted));
    }
    EXPECT_TRUE(torch::equal(net.forward(ids, offsets), base));
    NetImpl other;  // a model that the selection does not know
    attach(other, {.rank = 2}, {.layers = {"up"}}, "a");
    const torch::Tensor fresh = other.forward(ids, offsets);
    randomise(other, "a");
    EXPECT_FALSE(torch::equal(other.forward(ids, offsets), fresh));
  }
  EXPECT_TRUE(torch::equal(net.forward(ids, offsets), adapted));
}

TEST(Selection, WhatDoesNotFitIsRefused) {
  NetImpl net;
  attach(net, {.rank = 2}, {.layers = {"up"}}, "a");
  EXPECT_EQ(error_message([&] {
              AdapterSelection(net, offsets, {"a", "b", "", "a", "a"});
            }),
            "OptionError: no layer has an adapter called \"b\"; there are: a");
  EXPECT_EQ(
      error_message([&] {
        AdapterSelection(net, offsets, {"a", "a"});
      }),
      "ShapeError: a mixed batch names 2 adapters for offsets [6]; name one for each sequence, \"\" for the base");
  const AdapterSelection mixed(net, offsets, {"a", "", "", "a", "a"});
  const AdapterSelection uniform(net, {{"a", 1.0}});
  {
    const AdapterScope scope(mixed);
    EXPECT_EQ(
        error_message([&] {
          net.forward(ids.narrow(0, 0, 7), torch::tensor({0, 7}, torch::kLong));
        }),
        "ShapeError: an input of 7 rows reached a layer within a mixed batch of 12 tokens in 5 sequences; run the "
        "batch that the selection is for");
  }
  merge(net);
  EXPECT_EQ(error_message([&] {
              AdapterSelection(net, offsets, {"a", "", "", "a", "a"});
            }),
            "StateError: cannot select adapters while adapters are merged into \"up\"; unmerge first");
  const AdapterScope scope(uniform);
  EXPECT_EQ(
      error_message([&] { net.forward(ids, offsets); }),
      "StateError: adapters were merged into a layer that an AdapterSelection chooses adapters for; unmerge first");
}

TEST(Selection, ASwapWhileOthersRunNeverShowsHalfAnAdapter) {
  torch::manual_seed(5);
  NetImpl net;
  for (const auto* name : {"a", "b"}) {
    attach(net, {.rank = 2}, {.layers = {"up", "down", "pooler"}}, name);
    randomise(net, name);
  }
  net.eval();
  std::vector<torch::Tensor> right;
  for (const auto* name : {"a", "b"}) {
    choose(net, name);
    right.push_back(net.forward(ids, offsets).detach());
  }
  using Selected = std::shared_ptr<const AdapterSelection>;
  std::atomic<Selected> newest(std::make_shared<const AdapterSelection>(net, std::vector<ActiveAdapter>{{"a", 1.0}}));
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0, passes = 0;
  const auto serve = [&] {
    const torch::InferenceMode inference;
    while (!stop) {
      const Selected selected = newest;
      const AdapterScope scope(*selected);
      const torch::Tensor y = net.forward(ids, offsets);
      if (!torch::equal(y, right[0]) && !torch::equal(y, right[1])) ++wrong;
      ++passes;
    }
  };
  std::thread first(serve), second(serve);
  for (int i = 0; i < 100 || passes < 200; ++i) {
    const std::string next = i % 2 == 0 ? "b" : "a";
    newest = std::make_shared<const AdapterSelection>(net, std::vector<ActiveAdapter>{{next, 1.0}});
    attach(net, {.rank = 1}, {.layers = {"up", "down"}}, "passing");  // and the set of adapters changes meanwhile
    detach(net, "passing");
  }
  stop = true;
  first.join();
  second.join();
  EXPECT_EQ(wrong, 0) << "of " << passes;
}

}  // namespace
}  // namespace graft::selection_test
