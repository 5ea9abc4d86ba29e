#include "graft/tensor/generator_state.hpp"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace graft::generator_state_test {
namespace {

TEST(GeneratorState, GivesTheVeryNumbersAgain) {
  torch::manual_seed(3);
  torch::randn({5});  // leaves half a pair of normal numbers behind
  const GeneratorState state = GeneratorState::now();
  const torch::Tensor first = torch::randn({7});
  state.restore();
  EXPECT_TRUE(torch::randn({7}).equal(first));
}

TEST(GeneratorState, AScopeLeavesTheGeneratorWhereItStood) {
  torch::manual_seed(4);
  const GeneratorState state = GeneratorState::now();
  const torch::Tensor first = torch::rand({3}), second = torch::rand({3});
  state.restore();
  torch::rand({3});
  {
    const GeneratorScope scope(state);
    EXPECT_TRUE(torch::rand({3}).equal(first));
  }
  EXPECT_TRUE(torch::rand({3}).equal(second));
}

}  // namespace
}  // namespace graft::generator_state_test
