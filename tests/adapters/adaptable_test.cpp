#include "graft/adapters/adaptable.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "graft/adapters/full.hpp"
#include "graft/adapters/lora.hpp"

namespace graft {
namespace {

void randomise(torch::nn::Module& module, const std::string& name = "default") {
  const torch::NoGradGuard no_grad;
  auto& layer = dynamic_cast<Adaptable&>(module);
  layer.adapter(name)->lora_A.normal_(0.0, 0.1);
  layer.adapter(name)->lora_B.normal_(0.0, 0.1);
}

struct ParentImpl : torch::nn::Cloneable<ParentImpl> {
  ParentImpl() { reset(); }
  void reset() override { query = register_module("query", Linear(torch::nn::LinearOptions(6, 4))); }
  torch::Tensor forward(const torch::Tensor& x) { return query(x); }
  Linear query = nullptr;
};

struct LoraParentImpl : torch::nn::Cloneable<LoraParentImpl> {
  LoraParentImpl() { reset(); }
  void reset() override {
    query = register_module("query", Lora<torch::nn::Linear>(torch::nn::LinearOptions(6, 4), LoraOptions{.rank = 2}));
  }
  torch::Tensor forward(const torch::Tensor& x) { return query(x); }
  Lora<torch::nn::Linear> query = nullptr;
};

template <class Parent>
void expect_clone_keeps_adapters() {
  Parent parent;
  if (!parent.query->adapter("default")) parent.query->add_adapter("default", {.rank = 2});
  randomise(*parent.query);
  const auto x = torch::randn({3, 6});
  const auto y = parent.forward(x);
  const auto copy = std::dynamic_pointer_cast<Parent>(parent.clone());
  EXPECT_TRUE(torch::equal(copy->forward(x), y));
  EXPECT_EQ(copy->named_parameters().keys(), parent.named_parameters().keys());
  for (const auto& parameter : copy->named_parameters()) {
    const auto& original = parent.named_parameters()[parameter.key()];
    EXPECT_NE(parameter.value().data_ptr(), original.data_ptr()) << parameter.key();
    EXPECT_EQ(parameter.value().requires_grad(), original.requires_grad()) << parameter.key();
  }
  copy->query->choose({});
  EXPECT_FALSE(torch::equal(copy->forward(x), y));
  EXPECT_TRUE(torch::equal(parent.forward(x), y));
  copy->query->add_adapter("second", {.rank = 1});
  EXPECT_EQ(copy->query->adapters(), (std::vector<std::string>{"default", "second"}));
  EXPECT_EQ(parent.query->adapters(), std::vector<std::string>{"default"});
  copy->query->remove_adapter("second");
  copy->query->remove_adapter("default");
  EXPECT_TRUE(copy->query->named_children().is_empty());
}

TEST(Adaptable, CloneOfAParentKeepsAdaptersAndSharesNothing) { expect_clone_keeps_adapters<ParentImpl>(); }

TEST(Adaptable, CloneOfAParentReplacesTheAdapterItsConstructorMade) { expect_clone_keeps_adapters<LoraParentImpl>(); }

}  // namespace
}  // namespace graft
