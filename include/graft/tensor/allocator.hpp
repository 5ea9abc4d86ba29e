#pragma once

#include <cstdlib>  // defines __GLIBC__ where that is the library

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "graft/core/mode.hpp"

namespace graft {

/// Tells malloc to keep freed memory for the next step: it then neither asks the system for large blocks one by one nor
/// gives them back, which costs a page fault for each 4 KiB of every large tensor at every step.
///
/// The price: the process holds the most memory it ever used, and with glibc's malloc a third more, for gaps between
/// blocks of many sizes. gperftools' tcmalloc is as fast and leaves none: a program that links it (Debian:
/// libgoogle-perftools-dev, -ltcmalloc_minimal), or is started with it in LD_PRELOAD, is told so here.
/// Call it once, in main(), before the first tensor: it changes malloc for the whole program, so the library never does
/// it unasked. True if it took effect; false, and no change, where malloc is neither.
bool keep_freed_memory();

/// The other way round: tells malloc to give freed memory back, and glibc's to ask the system for every block of 256
/// KiB or more. The process then holds what is alive and no more, where by default glibc leaves gaps between blocks of
/// up to 32 MiB: training steps of a language model took 44 % less for their activations. The price is the page faults
/// that keep_freed_memory() spares, half a step's time again. Call it as that one, and not both.
bool give_back_freed_memory();

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/tensor/allocator-inl.hpp"
#endif
