#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <tuple>

#include <ATen/Parallel.h>

#include "graft/ops/detail/choose_product.hpp"
#include "graft/ops/detail/onednn_product.hpp"
#include "graft/ops/simd.hpp"

namespace graft {
namespace detail {

/// MKL takes its AVX2 path on AMD: with AVX-512 graft's kernels are 2.2 times as fast there (Zen 5). Without it (Zen 3)
/// oneDNN was no faster, and graft's kernels were not tried; on Intel MKL runs at full speed.
GRAFT_INLINE MatrixBackend backend_of_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_is("amd") && widest_simd() == Simd::avx512) return MatrixBackend::graft_float32_onednn_bfloat16;
#endif
  return MatrixBackend::torch;
}

GRAFT_INLINE std::atomic<MatrixBackend>& chosen_backend() {
  static std::atomic<MatrixBackend> chosen(backend_of_processor());
  return chosen;
}

/// The times of one shape, in milliseconds, each the best of several.
struct ProductTimes {
  std::map<ProductWay, double> ms;
  ProductWay choice = ProductWay::torch;

  void add(ProductWay way, double time) {
    const auto [best, fresh] = ms.try_emplace(way, time);
    if (!fresh) best->second = std::min(best->second, time);
  }
  void choose() {
    take_if_within(1.0, ProductWay::blocked);
    take_if_within(0.9, ProductWay::onednn);  // a copy of the weight must be worth its memory
  }

 private:
  void take_if_within(double share, ProductWay way) {
    const auto found = ms.find(way);
    if (found != ms.end() && found->second < share * ms.at(choice)) choice = way;
  }
};

/// What a process has measured: tokens, in, out, element type, whether packed, threads.
struct MeasuredProducts {
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, at::ScalarType, bool, int>;
  std::mutex mutex;
  std::map<Key, ProductTimes> times;

  static MeasuredProducts& instance() {
    static MeasuredProducts products;
    return products;
  }
};

/// graft's blocked kernels are for float32: in float64 they are for tests.
GRAFT_INLINE bool blocked_takes(const at::Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat; }

GRAFT_INLINE ProductWay fastest_way(const ProductShape& product, c10::function_ref<void(ProductWay)> run) {
  const at::Tensor& x = product.x;
  const bool onednn = onednn_takes(x), blocked = blocked_takes(x);
  if (!onednn && !blocked) return ProductWay::torch;
  const MeasuredProducts::Key key{static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(x.size(0)))),
                                  x.size(1),
                                  product.results,
                                  x.scalar_type(),
                                  product.packed,
                                  at::get_num_threads()};
  MeasuredProducts& known = MeasuredProducts::instance();
  {
    const std::lock_guard lock(known.mutex);
    if (const auto found = known.times.find(key); found != known.times.end()) return found->second.choice;
  }
  ProductTimes times;
  const auto time = [&](ProductWay way) {
    const auto start = std::chrono::steady_clock::now();
    run(way);
    times.add(way, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  };
  for (int round = 0; round < 3; ++round) {
    time(ProductWay::torch);
    if (onednn) time(ProductWay::onednn);
    if (blocked) time(ProductWay::blocked);
  }
  times.choose();
  const std::lock_guard lock(known.mutex);
  return known.times.try_emplace(key, times).first->second.choice;
}

GRAFT_INLINE ProductWay choose_product(const ProductShape& product, c10::function_ref<void(ProductWay)> run) {
  const auto &x = product.x, &weight = product.weight;
  const bool wide = x.scalar_type() == at::kFloat, narrow_weight = weight.scalar_type() == at::kBFloat16;
  const bool types = wide && (narrow_weight || weight.scalar_type() == at::kFloat);
  if (types && x.size(0) <= product.few && x.is_contiguous() && weight.is_contiguous()) return ProductWay::few_rows;
  if (wide && narrow_weight) return ProductWay::widened;
  const MatrixBackend backend = matrix_backend();
  if (backend == MatrixBackend::measured) return fastest_way(product, run);
  if (backend == MatrixBackend::graft_float32_onednn_bfloat16 && blocked_takes(x)) return ProductWay::blocked;
  return backend != MatrixBackend::torch && onednn_takes(x) ? ProductWay::onednn : ProductWay::torch;
}

}  // namespace detail

GRAFT_INLINE void set_matrix_backend(MatrixBackend backend) { detail::chosen_backend().store(backend); }
GRAFT_INLINE MatrixBackend matrix_backend() { return detail::chosen_backend().load(std::memory_order_relaxed); }

GRAFT_INLINE std::string matrix_backend_report() {
  const auto name_of = [](detail::ProductWay way) {
    return way == detail::ProductWay::torch ? "torch" : way == detail::ProductWay::onednn ? "oneDNN" : "graft";
  };
  detail::MeasuredProducts& known = detail::MeasuredProducts::instance();
  const std::lock_guard lock(known.mutex);
  std::ostringstream lines;
  for (const auto& [key, times] : known.times) {
    const auto& [tokens, in, out, type, packed, threads] = key;
    lines << "tokens <= " << tokens << ", " << in << " -> " << out << ", " << c10::toString(type)
          << (packed ? ", frozen, " : ", trained, ") << threads << " threads: ";
    for (const auto& [way, ms] : times.ms) lines << name_of(way) << ' ' << ms << " ms, ";
    lines << "chosen " << name_of(times.choice) << '\n';
  }
  return lines.str();
}

}  // namespace graft
