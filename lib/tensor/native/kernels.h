// The arithmetic of the fused ops, one image at a time, in the fastest form that this processor has.
#ifndef LOWER_BOUND_KERNELS_H_
#define LOWER_BOUND_KERNELS_H_

#include <cstddef>

namespace lower_bound {

struct NormShape {
  int rows, channels, groups;  // rows: an image's pixels
  float epsilon;
  bool swish;
};

// A chain of dense layers with swish between them: sizes[0] numbers go in, sizes[layers] come out.
struct ChainShape {
  int layers;
  const int* sizes;
  int largest;  // of the sizes
};

// A convolution with stride 1 whose zero padding keeps the image's size.
struct ConvolutionShape {
  int height, width, inputs, outputs;    // of an image
  int filter_height, filter_width;       // odd
};

// One step of Adam: w becomes keep · w − rate · m / (√v + epsilon), after the gradient, scaled, has joined the means m and
// v with these shares.
struct AdamStep {
  float share1, share2;  // 1 − beta
  float rate, epsilon, keep, scale;
};

struct Kernels {
  void (*group_norm)(const NormShape& shape, const float* x, const float* shift, const float* gamma,
                     const float* beta, float* y, float* mean, float* rstd, float* scratch);
  void (*group_norm_grad)(const NormShape& shape, const float* dy, const float* x, const float* shift,
                          const float* gamma, const float* beta, const float* mean, const float* rstd, float* dx,
                          float* dshift, float* dgamma, float* dbeta, float* scratch);
  void (*attention)(int n, int d, const float* qkv, float* out, float* scratch);
  void (*attention_grad)(int n, int d, const float* dout, const float* qkv, float* dqkv, float* scratch);
  void (*dense_chain)(const ChainShape& shape, int rows, const float* x, const float* const* weights,
                      const float* const* biases, float* const* kept, float* y, float* scratch);
  void (*dense_chain_grad)(const ChainShape& shape, int rows, const float* dy, const float* x,
                           const float* const* transposed, const float* const* kept, float* dx, float* const* dweights,
                           float* const* dbiases, float* scratch);
  // scratch: height · width · outputs floats.
  void (*filter_grad)(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter, bool add,
                      float* scratch);
  void (*transpose)(int n, int d, const float* from, size_t row, float* to);
  void (*adam)(const AdamStep& step, size_t size, const float* w, const float* m, const float* v, const float* g,
               float* next_w, float* next_m, float* next_v);
  void (*approach)(size_t size, float share, const float* x, const float* average, float* next);
  void (*add)(size_t size, const float* x, float* sum);
  void (*swish)(size_t size, const float* x, float* y);
  void (*swish_grad)(size_t size, const float* dy, const float* x, float* dx);
};

// Floats that the kernels want as scratch memory.
inline size_t GroupNormScratch(int channels) { return 6 * static_cast<size_t>(channels); }
inline size_t ChainScratch(const ChainShape& shape, int rows) { return 3 * static_cast<size_t>(rows) * shape.largest; }
inline size_t AttentionScratch(int n, int d) { return 2 * static_cast<size_t>(n) * (d + 64); }

const Kernels& BestKernels();

// Calls task(context, i) for each i < count, on all cores; returns when all are done.
void ParallelFor(int count, void (*task)(void* context, int i), void* context);

}  // namespace lower_bound

#endif  // LOWER_BOUND_KERNELS_H_
