// Each fused operation against LibTorch's plain one, forward and backward, at the shapes of BERT-base with 8 x 128
// tokens, and the optimizer's step. Results are compared before the timing. Run: ./run bench ops

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "graft/ops/attention.hpp"
#include "graft/ops/detail/blocked_product.hpp"
#include "graft/ops/detail/onednn_product.hpp"
#include "graft/ops/dropout.hpp"
#include "graft/ops/gelu.hpp"
#include "graft/ops/layer_norm.hpp"
#include "graft/ops/linear.hpp"
#include "graft/tensor/allocator.hpp"
#include "graft/training/optimizer.hpp"

namespace {

constexpr std::int64_t tokens = 1024, hidden = 768, inner = 3072, heads = 12, length = 128, rank = 8;

torch::Tensor leaf(at::IntArrayRef sizes, bool train = true) {
  return (torch::randn(sizes) * 0.1).requires_grad_(train);
}

using Step = std::function<torch::Tensor()>;

/// Forward and backward of `step`; the gradient of its result is fixed.
void time_step(benchmark::State& state, const Step& step) {
  const torch::Tensor grad = torch::randn_like(step().detach());
  for (auto _ : state) step().backward(grad);
}

void expect_equal(const std::string& name, const Step& fused, const Step& plain) {
  const double difference = (fused() - plain()).abs().max().item<double>();
  if (!(difference < 1e-4)) {
    std::fprintf(stderr, "%s: results differ by %g\n", name.c_str(), difference);
    std::exit(1);
  }
}

void add_timing(const std::string& name, const std::function<void(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMillisecond)->UseRealTime();
}

/// `equal` is false where both sides drop at random.
void add(const std::string& name, const Step& fused, const Step& plain, bool equal = true) {
  if (equal) expect_equal(name, fused, plain);
  add_timing(name + "/graft", [fused](benchmark::State& s) { time_step(s, fused); });
  add_timing(name + "/torch", [plain](benchmark::State& s) { time_step(s, plain); });
}

void add_linear(const char* name, std::int64_t in, std::int64_t out, double dropout) {
  const torch::Tensor x = leaf({tokens, in}), weight = leaf({out, in}, false), bias = leaf({out}, false);
  const torch::Tensor A = leaf({rank, in}), B = leaf({out, rank});
  const auto cache = std::make_shared<graft::WeightCache>();
  add(
      name,
      [=] {
        const graft::LowRankTerm term{A, B, 2.0, dropout};
        return graft::linear(x, weight, bias, {&term, 1}, cache);
      },
      [=] {
        const torch::Tensor h = torch::linear(torch::dropout(x, dropout, dropout > 0), A);
        return torch::linear(x, weight, bias) + torch::linear(h, B) * 2.0;
      },
      dropout == 0.0);
}

/// What is computed without gradients: products, which LibTorch hands to MKL on x86, and the optimizer's step.
void add_plain(const std::string& name, const Step& own, const Step& plain) {
  expect_equal(name, own, plain);
  for (const auto& [side, step] : {std::pair(name + "/graft", own), std::pair(name + "/torch", plain)}) {
    add_timing(side, [step = step](benchmark::State& state) {
      for (auto _ : state) step();
    });
  }
}

/// The three products of a trained layer: y, the gradient of x and that of the weight. y also by oneDNN on a weight
/// packed beforehand, which only a frozen one can be.
void add_products(std::int64_t in, std::int64_t out) {
  using graft::detail::matrix_product;
  const torch::Tensor x = leaf({tokens, in}, false), weight = leaf({out, in}, false), dy = leaf({tokens, out}, false);
  const std::string name = "Product/" + std::to_string(in) + "->" + std::to_string(out);
  add_plain(
      name + "/y", [=] { return matrix_product<float>(x, weight.t(), {}); }, [=] { return x.mm(weight.t()); });
  if (graft::detail::onednn_takes(x)) {
    const torch::Tensor packed = graft::detail::onednn_pack(weight);
    add_timing(name + "/y/oneDNN", [=](benchmark::State& state) {
      for (auto _ : state) graft::detail::onednn_linear(x, packed, std::nullopt);
    });
  }
  add_plain(
      name + "/dx", [=] { return matrix_product<float>(dy, weight, {}); }, [=] { return dy.mm(weight); });
  add_plain(
      name + "/dW", [=] { return matrix_product<float>(dy.t(), x, {}); }, [=] { return dy.t().mm(x); });
}

void add_attention(const char* name, double dropout) {
  const torch::Tensor q = leaf({tokens, heads, hidden / heads}), k = leaf({tokens, heads, hidden / heads});
  const torch::Tensor v = leaf({tokens, heads, hidden / heads});
  const torch::Tensor offsets = torch::arange(0, tokens + 1, length);
  const auto padded = [](const torch::Tensor& t) {
    return t.view({tokens / length, length, heads, hidden / heads}).transpose(1, 2);
  };
  add(
      name, [=] { return graft::attention(q, k, v, offsets, {.dropout = dropout}); },
      [=] {
        return torch::scaled_dot_product_attention(padded(q), padded(k), padded(v), {}, dropout)
            .transpose(1, 2)
            .reshape({tokens, heads, hidden / heads});
      },
      dropout == 0.0);
}

/// Clipping and AdamW on 24 matrices, 14 million parameters; LibTorch by clip_grad_norm_ and its own AdamW.
void add_adamw(const std::string& name) {
  graft::ParameterGroup group{.parameters = {}, .lr = 1e-4, .weight_decay = 0.01};
  std::vector<torch::Tensor> plain;
  for (int i = 0; i < 24; ++i) {
    const torch::Tensor weight = leaf({hidden, hidden});
    plain.push_back(weight.detach().clone().requires_grad_(true));
    weight.mutable_grad() = torch::randn({hidden, hidden});
    plain.back().mutable_grad() = weight.grad().clone();
    group.parameters.emplace_back(std::to_string(i), weight);
  }
  const auto own = std::make_shared<graft::AdamW>(std::vector{group});
  const auto theirs = std::make_shared<torch::optim::AdamW>(plain, torch::optim::AdamWOptions(1e-4));
  add_plain(
      name,
      [=] {
        own->step(1.0, graft::gradient_scale(group.parameters, 1.0, /*clip_norm=*/1.0).divisor);
        return group.parameters.front().second.detach();
      },
      [=] {
        torch::nn::utils::clip_grad_norm_(plain, 1.0);
        theirs->step();
        return plain.front().detach();
      });
}

}  // namespace

int main(int argc, char** argv) {
  graft::keep_freed_memory();  // for both sides: else every result costs its page faults
  benchmark::Initialize(&argc, argv);
  torch::manual_seed(0);
  add_linear("LoraLinear/768x768", hidden, hidden, 0.0);
  add_linear("LoraLinear/768x768/dropout", hidden, hidden, 0.1);
  add_linear("LoraLinear/3072x768/dropout", inner, hidden, 0.1);
  add_products(hidden, hidden);
  add_products(hidden, inner);
  add_products(inner, hidden);
  add_attention("Attention/8x128", 0.0);
  add_attention("Attention/8x128/dropout", 0.1);
  const torch::Tensor x = leaf({tokens, hidden}), residual = leaf({tokens, hidden}), wide = leaf({tokens, inner});
  const torch::Tensor weight = leaf({hidden}), bias = leaf({hidden});
  add(
      "Dropout/1024x768", [=] { return graft::dropout(x, 0.1); }, [=] { return torch::dropout(x, 0.1, true); }, false);
  add(
      "AddNorm/1024x768", [=] { return graft::add_norm(x, residual, weight, bias, 1e-12); },
      [=] { return torch::layer_norm(residual + x, {hidden}, weight, bias, 1e-12); });
  add(
      "AddNorm/1024x768/dropout", [=] { return graft::add_norm(x, residual, weight, bias, 1e-12, 0.1); },
      [=] { return torch::layer_norm(residual + torch::dropout(x, 0.1, true), {hidden}, weight, bias, 1e-12); }, false);
  add(
      "Gelu/1024x3072", [=] { return graft::gelu(wide); }, [=] { return torch::gelu(wide); });
  add_adamw("AdamW/14M");
  benchmark::RunSpecifiedBenchmarks();
}
