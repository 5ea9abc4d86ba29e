#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace graft::detail {

/// Memory that starts with a cache line of 64 bytes, so that no load of a vector reaches into two.
/// Numbers that are given no value have none: large blocks are not written twice.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* from, std::size_t) { ::operator delete(from, kLine); }

  template <class Made>
  void construct(Made* at) {
    ::new (static_cast<void*>(at)) Made;
  }
  template <class Made, class... Arguments>
  void construct(Made* at, Arguments&&... arguments) {
    ::new (static_cast<void*>(at)) Made(std::forward<Arguments>(arguments)...);
  }

  template <class Other>
  bool operator==(const LineAllocator<Other>&) const {
    return true;
  }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

}  // namespace graft::detail
