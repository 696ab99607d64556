// Compiles simd.inc for several processors, and chooses when the addon runs. No flag of the compiler's decides, so
// that an addon built on one machine works on another.
#include "kernels.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cpu.h"

#if defined(__x86_64__)
#define LB_X86 1
#endif

namespace lower_bound {

#if defined(LB_X86)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
namespace avx512 {
#define LB_BYTES 64
#define LB_TILE_ROWS 8
#include "simd.inc"
#undef LB_BYTES
#undef LB_TILE_ROWS
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define LB_BYTES 32
#define LB_TILE_ROWS 6
#include "simd.inc"
#undef LB_BYTES
#undef LB_TILE_ROWS
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // LB_X86

namespace portable {
#define LB_BYTES 16
#define LB_TILE_ROWS 4
#include "simd.inc"
#undef LB_BYTES
#undef LB_TILE_ROWS
}  // namespace portable

namespace {

// LOWER_BOUND_SIMD = avx2 | portable asks for less than the processor has, for the tests.
bool Asked(const char* kind) {
  const char* asked = std::getenv("LOWER_BOUND_SIMD");
  return asked == nullptr || std::strcmp(asked, kind) == 0;
}

const Kernels& Choose() {
#if defined(LB_X86)
  const Processor processor = ThisProcessor();
  if (processor.avx512 && Asked("avx512")) return avx512::kKernels;
  if (processor.avx2 && Asked("avx2")) return avx2::kKernels;
#endif
  return portable::kKernels;
}

}  // namespace

const Kernels& BestKernels() {
  static const Kernels& best = Choose();
  return best;
}

}  // namespace lower_bound
