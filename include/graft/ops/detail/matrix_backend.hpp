#pragma once

#include <algorithm>
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

#include "graft/core/mode.hpp"
#include "graft/ops/kernels/simd.hpp"
#include "graft/ops/matrix_backend.hpp"

namespace graft::detail {

// oneDNN's linear layer has no C++ declaration in LibTorch: it is reached by name.
at::Tensor onednn_pack(const at::Tensor& weight);

/// x weight^T + bias; `weight` packed or plain.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);

bool onednn_takes(const at::Tensor& x);

/// Whether graft's own kernels are for x: in float64 they are for tests.
inline bool own_takes(const at::Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat; }

/// MKL takes its AVX2 path on AMD: with AVX-512 graft's kernels are 2.2 times as fast there (Zen 5). Without it (Zen 3)
/// oneDNN was no faster, and graft's kernels were not tried; on Intel MKL runs at full speed.
MatrixBackend backend_of_processor();

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

  /// One of three ways to the same product of x [T, in] with a weight of `out` rows: the pinned one, else the fastest
  /// one; where that is not known yet, all are run and timed. `packed` says whether oneDNN reads a packed copy.
  template <class Torch, class Onednn, class Own>
  at::Tensor run(const at::Tensor& x, std::int64_t out, bool packed, const Torch& torch, const Onednn& onednn,
                 const Own& own) {
    const auto compute = [&](MatrixBackend backend) {
      if (backend == MatrixBackend::graft && own_takes(x)) return own();
      return backend != MatrixBackend::torch && onednn_takes(x) ? onednn() : torch();
    };
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
    if (choice != MatrixBackend::measured) return compute(choice);
    if (!onednn_takes(x) && !own_takes(x)) return torch();
    Measured measured;
    for (int round = 0; round < 3; ++round) {
      measured.add(MatrixBackend::torch, milliseconds(torch));
      if (onednn_takes(x)) measured.add(MatrixBackend::onednn, milliseconds(onednn));
      if (own_takes(x)) measured.add(MatrixBackend::graft, milliseconds(own));
    }
    measured.choose();
    {
      const std::lock_guard lock(mutex_);
      measured = measured_.try_emplace(key, measured).first->second;
    }
    return compute(measured.choice);
  }

  std::string report() const {
    const std::lock_guard lock(mutex_);
    std::ostringstream lines;
    for (const auto& [key, measured] : measured_) {
      const auto& [tokens, in, out, type, packed, threads] = key;
      lines << "tokens <= " << tokens << ", " << in << " -> " << out << ", " << c10::toString(type)
            << (packed ? ", frozen, " : ", trained, ") << threads << " threads: ";
      for (const auto& [way, ms] : measured.ms) lines << name_of(way) << ' ' << ms << " ms, ";
      lines << "chosen " << name_of(measured.choice) << '\n';
    }
    return lines.str();
  }

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, at::ScalarType, bool, int>;
  static const char* name_of(MatrixBackend way) {
    return way == MatrixBackend::torch ? "torch" : way == MatrixBackend::onednn ? "oneDNN" : "graft";
  }

  struct Measured {
    std::map<MatrixBackend, double> ms;
    MatrixBackend choice = MatrixBackend::torch;

    void add(MatrixBackend way, double time) {
      const auto [best, fresh] = ms.try_emplace(way, time);
      if (!fresh) best->second = std::min(best->second, time);
    }
    void choose() {
      take_if_within(1.0, MatrixBackend::graft);
      take_if_within(0.9, MatrixBackend::onednn);  // a copy of the weight must be worth its memory
    }
    void take_if_within(double share, MatrixBackend way) {
      const auto found = ms.find(way);
      if (found != ms.end() && found->second < share * ms.at(choice)) choice = way;
    }
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

#ifndef GRAFT_COMPILED
#include "graft/ops/detail/matrix_backend-inl.hpp"
#endif
