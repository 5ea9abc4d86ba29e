#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "graft/tensor/detail/simd.hpp"
#include "graft/tensor/matrix_backend.hpp"

namespace graft::detail {

// oneDNN's linear layer has no C++ declaration in LibTorch: it is reached by name.
inline at::Tensor onednn_pack(const at::Tensor& weight) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>();
  return op.call(weight, std::nullopt);
}

/// x weight^T + bias; `weight` packed or plain.
inline at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>)>();
  return op.call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

inline bool onednn_takes(const at::Tensor& x) {
  static const bool present = at::hasMKLDNN() &&
                              c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}) &&
                              c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""});
  return present && x.device().is_cpu() && x.numel() > 0 &&
         (x.scalar_type() == at::kFloat || (x.scalar_type() == at::kBFloat16 && widest_simd() == Simd::avx512));
}

/// MKL takes its AVX2 path on AMD: with AVX-512 oneDNN is 2.2 times as fast there (Zen 5), without it (Zen 3) no
/// faster.
inline MatrixBackend backend_of_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_is("amd") && widest_simd() == Simd::avx512) return MatrixBackend::onednn;
#endif
  return MatrixBackend::torch;
}

/// The measured choices of a process, and the pin.
class MatrixChoices {
 public:
  static MatrixChoices& instance() {
    static MatrixChoices choices;
    return choices;
  }

  void pin(MatrixBackend backend) {
    const std::lock_guard lock(mutex_);
    pinned_ = backend;
  }
  MatrixBackend pinned() const {
    const std::lock_guard lock(mutex_);
    return pinned_;
  }

  /// One of two ways to the same product of x [T, in] with a weight of `out` rows: the pinned one, else the faster one;
  /// where that is not known yet, both are run and timed. `packed` says whether the second way reads a packed copy.
  template <class Torch, class Onednn>
  at::Tensor run(const at::Tensor& x, std::int64_t out, bool packed, const Torch& torch, const Onednn& onednn) {
    if (!onednn_takes(x)) return torch();
    const Key key{static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(x.size(0)))),
                  x.size(1),
                  out,
                  x.scalar_type(),
                  packed,
                  at::get_num_threads()};
    MatrixBackend choice;
    {
      const std::lock_guard lock(mutex_);
      choice = pinned_;
      const auto found = measured_.find(key);
      if (choice == MatrixBackend::measured && found != measured_.end()) choice = found->second.choice;
    }
    if (choice == MatrixBackend::torch) return torch();
    if (choice == MatrixBackend::onednn) return onednn();
    Measured measured{MatrixBackend::torch, 1e9, 1e9};
    for (int round = 0; round < 3; ++round) {
      measured.torch_ms = std::min(measured.torch_ms, milliseconds(torch));
      measured.onednn_ms = std::min(measured.onednn_ms, milliseconds(onednn));
    }
    // A copy of the weight must be worth its memory.
    if (measured.onednn_ms < 0.9 * measured.torch_ms) measured.choice = MatrixBackend::onednn;
    {
      const std::lock_guard lock(mutex_);
      measured = measured_.try_emplace(key, measured).first->second;
    }
    return measured.choice == MatrixBackend::torch ? torch() : onednn();
  }

  std::string report() const {
    const std::lock_guard lock(mutex_);
    std::ostringstream lines;
    for (const auto& [key, measured] : measured_) {
      const auto& [tokens, in, out, type, packed, threads] = key;
      lines << "tokens <= " << tokens << ", " << in << " -> " << out << ", " << c10::toString(type)
            << (packed ? ", frozen, " : ", trained, ") << threads << " threads: torch " << measured.torch_ms
            << " ms, oneDNN " << measured.onednn_ms << " ms, chosen "
            << (measured.choice == MatrixBackend::torch ? "torch" : "oneDNN") << '\n';
    }
    return lines.str();
  }

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, at::ScalarType, bool, int>;
  struct Measured {
    MatrixBackend choice;
    double torch_ms, onednn_ms;
  };

  template <class Call>
  static double milliseconds(const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  mutable std::mutex mutex_;
  MatrixBackend pinned_ = backend_of_processor();
  std::map<Key, Measured> measured_;
};

}  // namespace graft::detail

namespace graft {

inline void set_matrix_backend(MatrixBackend backend) { detail::MatrixChoices::instance().pin(backend); }
inline MatrixBackend matrix_backend() { return detail::MatrixChoices::instance().pinned(); }
inline std::string matrix_backend_report() { return detail::MatrixChoices::instance().report(); }

}  // namespace graft
