// What this x86-64 processor can run and its operating system saves, asked of both when the addon runs.
//
// Not __builtin_cpu_supports(): clang's refers to a symbol of its static run-time library that zig, the compiler
// of machines without one, cannot link into a shared library.
#ifndef LOWER_BOUND_CPU_H_
#define LOWER_BOUND_CPU_H_

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>

namespace lower_bound {

struct Processor {
  bool avx2 = false;    // with FMA
  bool avx512 = false;  // F, BW, DQ and VL
};

inline Processor ThisProcessor() {
  constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx2 = 1u << 5;
  constexpr uint32_t kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr uint32_t kSavesYmm = 0x06, kSavesZmm = 0xe6;
  Processor processor;
  uint32_t a = 0, b = 0, features = 0, d = 0, extended = 0;
  if (!__get_cpuid(1, &a, &b, &features, &d) || (features & kOsxsave) == 0) return processor;
  uint32_t saved = 0, saved_high = 0;
  __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
  uint32_t c = 0;
  if (!__get_cpuid_count(7, 0, &a, &extended, &c, &d)) return processor;
  processor.avx2 = (features & kFma) && (extended & kAvx2) && (saved & kSavesYmm) == kSavesYmm;
  processor.avx512 = processor.avx2 && (extended & kAvx512) == kAvx512 && (saved & kSavesZmm) == kSavesZmm;
  return processor;
}

}  // namespace lower_bound
#endif

#endif  // LOWER_BOUND_CPU_H_
