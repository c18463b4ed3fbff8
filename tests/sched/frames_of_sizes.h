// The frames of frames.h, for the two files that are compiled with different options.
#pragma once

#include <cstddef>

namespace rearm::test {
namespace {

template <std::size_t kKib>
[[gnu::noinline]] void use_frame_of() {
  volatile char frame[kKib * 1024];
  asm volatile("" : : "r"(frame) : "memory");  // Clang would keep the one byte that is used.
  frame[0] = 1;
  static_cast<void>(frame[0]);
}

void use_frame(std::size_t kib) {
  switch (kib) {
    case 4: return use_frame_of<4>();
    case 16: return use_frame_of<16>();
    case 64: return use_frame_of<64>();
    case 128: return use_frame_of<128>();
    case 200: return use_frame_of<200>();
    case 300: return use_frame_of<300>();
    case 512: return use_frame_of<512>();
    case 768: return use_frame_of<768>();
    case 1024: return use_frame_of<1024>();
    case 1200: return use_frame_of<1200>();
    case 1536: return use_frame_of<1536>();
    case 2048: return use_frame_of<2048>();
    default: __builtin_trap();
  }
}

}  // namespace
}  // namespace rearm::test
