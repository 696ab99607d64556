// The fused ops as TensorFlow ops, through its public C API for custom ops (c/ops.h, c/kernels.h). They are
// registered when the addon is loaded and run on the CPU; without kernels for other devices nobody asks for them.
//
//   LowerBoundGroupNorm      (x, shift, gamma, beta) -> (y, mean, rstd)
//   LowerBoundGroupNormGrad  (dy, x, shift, gamma, beta, mean, rstd) -> (dx, dshift, dgamma, dbeta)
//   LowerBoundAttention      (qkv) -> out
//   LowerBoundAttentionGrad  (dout, qkv) -> dqkv
//   LowerBoundFilterGrad     (x, dy, filter) -> dfilter
//   LowerBoundDenseChain     (x, weights, biases) -> y
//   LowerBoundDenseChainKeep (x, weights, biases) -> (y, kept)
//   LowerBoundDenseChainGrad (dy, x, kept, weights) -> (dx, dweights, dbiases)
//   LowerBoundAdam           (w, m, v, g, step) -> (w, m, v)
//   LowerBoundAdamAverage    (w, m, v, g, averages, step) -> (w, m, v, averages)
//   LowerBoundSwish          (x) -> y
//   LowerBoundSwishGrad      (dy, x) -> dx
//   LowerBoundUpsample       (x) -> y
//   LowerBoundUpsampleGrad   (dy) -> dx
//
// x, y [N, ..., C]; shift [N, C], added to x, or [0]; gamma, beta [C]; mean, rstd [N, C], equal within a group;
// qkv [N, n, 3 d]; filter [H, W, inputs, outputs], of which only the shape is read; of a chain of dense layers x [rows, inputs], weights and biases a list of each, [inputs, outputs] and
// [outputs], and kept what each swish between them is taken of, one after another; of Adam a list of each, and step
// [rate, epsilon, keep, scale]; attributes: groups, epsilon, swish. All float32. What each computes is said in ../ops.ts.
#include "tensorflow/c/ops.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "kernels.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace lower_bound {
namespace {

typedef std::vector<int64_t> Shape;

class Status {
 public:
  ~Status() { TF_DeleteStatus(status_); }
  operator TF_Status*() { return status_; }
  bool ok() const { return TF_GetCode(status_) == TF_OK; }

 private:
  TF_Status* status_ = TF_NewStatus();
};

// A tensor that is given back when the kernel is done.
class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor&) = delete;
  ~Tensor() {
    if (tensor_ != nullptr) TF_DeleteTensor(tensor_);
  }
  TF_Tensor** out() { return &tensor_; }
  void Set(TF_Tensor* tensor) { tensor_ = tensor; }
  float* data() { return static_cast<float*>(TF_TensorData(tensor_)); }
  // Null for an absent (empty) tensor.
  float* optional() { return size() > 0 ? data() : nullptr; }
  int64_t size() const { return TF_TensorElementCount(tensor_); }
  int rank() const { return TF_NumDims(tensor_); }
  int64_t dim(int i) const { return TF_Dim(tensor_, i); }
  Shape shape() const {
    Shape shape;
    for (int i = 0; i < rank(); i++) shape.push_back(dim(i));
    return shape;
  }

 private:
  TF_Tensor* tensor_ = nullptr;
};

typedef std::vector<Tensor> Tensors;

std::vector<const float*> DataOf(Tensors& tensors) {
  std::vector<const float*> data;
  for (Tensor& tensor : tensors) data.push_back(tensor.data());
  return data;
}

// One run of a kernel: collects its inputs and outputs until something fails.
class Run {
 public:
  explicit Run(TF_OpKernelContext* context) : context_(context) {}

  bool Inputs(int first, std::initializer_list<Tensor*> tensors) {
    for (Tensor* tensor : tensors) {
      TF_GetInput(context_, first++, tensor->out(), status_);
      if (!Check()) return false;
    }
    return true;
  }
  // As many as `tensors` has, from input `first` on.
  bool InputList(int first, Tensors& tensors) {
    for (Tensor& tensor : tensors)
      if (!Inputs(first++, {&tensor})) return false;
    return true;
  }
  int num_inputs() const { return TF_NumInputs(context_); }
  bool Output(int i, const Shape& shape, Tensor* tensor) {
    size_t bytes = sizeof(float);
    for (int64_t d : shape) bytes *= d;
    tensor->Set(TF_AllocateOutput(context_, i, TF_FLOAT, shape.data(), static_cast<int>(shape.size()), bytes, status_));
    return Check();
  }
  // The output takes over the input's memory if nobody else holds it. To be called before the input is taken.
  bool OutputInPlaceOf(int input, int output, const Shape& shape, Tensor* tensor, bool* forwarded) {
    int from = -1;
    tensor->Set(TF_ForwardInputOrAllocateOutput(context_, &input, 1, output, shape.data(),
                                                static_cast<int>(shape.size()), &from, status_));
    *forwarded = from >= 0;
    return Check();
  }
  bool Require(bool holds, const char* message) {
    if (!holds) TF_SetStatus(status_, TF_INVALID_ARGUMENT, message);
    return Check();
  }

 private:
  bool Check() {
    if (status_.ok()) return true;
    TF_OpKernelContext_Failure(context_, status_);
    return false;
  }
  TF_OpKernelContext* context_;
  Status status_;
};

// Memory for one task on one thread, kept from run to run.
float* Scratch(size_t size) {
  thread_local std::vector<float> memory;
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

// Memory for one op, on the thread that runs it; its tasks have their own.
float* Workspace(size_t size) {
  thread_local std::vector<float> memory;
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

template <class Task>
void ForEachImage(int64_t count, Task task) {
  ParallelFor(static_cast<int>(count), [](void* t, int i) { (*static_cast<Task*>(t))(i); }, &task);
}

// ---- GroupNorm ----

struct NormAttributes {
  int32_t groups = 1;
  float epsilon = 0;
  bool swish = false;
};

void* CreateNorm(TF_OpKernelConstruction* construction) {
  auto* attributes = new NormAttributes();
  unsigned char swish = 0;
  Status status;
  TF_OpKernelConstruction_GetAttrInt32(construction, "groups", &attributes->groups, status);
  if (status.ok()) TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &attributes->epsilon, status);
  if (status.ok()) TF_OpKernelConstruction_GetAttrBool(construction, "swish", &swish, status);
  if (!status.ok()) TF_OpKernelConstruction_Failure(construction, status);
  attributes->swish = swish != 0;
  return attributes;
}

void DeleteNorm(void* attributes) { delete static_cast<NormAttributes*>(attributes); }

bool CheckNorm(Run& run, const NormAttributes& a, const Tensor& x, const Tensor& shift, const Tensor& gamma,
               const Tensor& beta) {
  if (!run.Require(x.rank() >= 2, "GroupNorm: x has fewer than 2 dimensions, expected [N, ..., C]")) return false;
  const int64_t n = x.dim(0), channels = x.dim(x.rank() - 1);
  return run.Require(a.groups > 0 && channels % a.groups == 0, "GroupNorm: groups must divide the channels") &&
         run.Require(gamma.size() == channels && beta.size() == channels, "GroupNorm: gamma and beta must be [C]") &&
         run.Require(shift.size() == 0 || shift.size() == n * channels, "GroupNorm: shift must be [N, C] or [0]");
}

void ComputeNorm(void* kernel, TF_OpKernelContext* context) {
  const auto& a = *static_cast<NormAttributes*>(kernel);
  Run run(context);
  Tensor x, shift, gamma, beta, y, mean, rstd;
  if (!run.Inputs(0, {&x, &shift, &gamma, &beta}) || !CheckNorm(run, a, x, shift, gamma, beta)) return;
  const int64_t n = x.dim(0), channels = x.dim(x.rank() - 1);
  const Shape statistics = {n, channels};
  if (!run.Output(0, x.shape(), &y) || !run.Output(1, statistics, &mean) || !run.Output(2, statistics, &rstd)) return;
  if (x.size() == 0) return;
  const int64_t pixels = x.size() / (n * channels);
  const NormShape shape = {static_cast<int>(pixels), static_cast<int>(channels), a.groups, a.epsilon, a.swish};
  const float* shifts = shift.optional();
  ForEachImage(n, [&](int i) {
    const size_t image = i * pixels * channels, row = i * channels;
    BestKernels().group_norm(shape, x.data() + image, shifts ? shifts + row : nullptr, gamma.data(), beta.data(),
                             y.data() + image, mean.data() + row, rstd.data() + row,
                             Scratch(GroupNormScratch(shape.channels)));
  });
}

void ComputeNormGrad(void* kernel, TF_OpKernelContext* context) {
  const auto& a = *static_cast<NormAttributes*>(kernel);
  Run run(context);
  Tensor dy, x, shift, gamma, beta, mean, rstd, dx, dshift, dgamma, dbeta;
  if (!run.Inputs(1, {&x, &shift, &gamma, &beta, &mean, &rstd}) || !CheckNorm(run, a, x, shift, gamma, beta)) return;
  bool in_place = false;
  if (!run.OutputInPlaceOf(0, 0, x.shape(), &dx, &in_place)) return;
  if (!in_place && (!run.Inputs(0, {&dy}) || !run.Require(dy.size() == x.size(), "GroupNormGrad: dy must be like x")))
    return;
  const int64_t n = x.dim(0), channels = x.dim(x.rank() - 1);
  if (!run.Output(1, shift.shape(), &dshift) || !run.Output(2, {channels}, &dgamma) ||
      !run.Output(3, {channels}, &dbeta))
    return;
  const int64_t pixels = n * channels == 0 ? 0 : x.size() / (n * channels);
  const NormShape shape = {static_cast<int>(pixels), static_cast<int>(channels), a.groups, a.epsilon, a.swish};
  const float *from = in_place ? dx.data() : dy.data(), *shifts = shift.optional();
  float* dshifts = dshift.optional();
  std::vector<float> parts(2 * n * channels);
  if (pixels == 0 && dshifts) memset(dshifts, 0, dshift.size() * sizeof(float));
  if (pixels > 0)
    ForEachImage(n, [&](int i) {
      const size_t image = i * pixels * channels, row = i * channels;
      BestKernels().group_norm_grad(shape, from + image, x.data() + image, shifts ? shifts + row : nullptr,
                                    gamma.data(), beta.data(), mean.data() + row, rstd.data() + row,
                                    dx.data() + image, dshifts ? dshifts + row : nullptr, &parts[row],
                                    &parts[n * channels + row], Scratch(GroupNormScratch(shape.channels)));
    });
  // Summed over the images in order, whichever thread was first: the same result each time.
  for (int64_t c = 0; c < channels; c++) {
    double for_gamma = 0, for_beta = 0;
    for (int64_t i = 0; i < n; i++) {
      for_gamma += parts[i * channels + c];
      for_beta += parts[(n + i) * channels + c];
    }
    dgamma.data()[c] = static_cast<float>(for_gamma);
    dbeta.data()[c] = static_cast<float>(for_beta);
  }
}

// ---- attention ----

void ComputeAttention(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor qkv, out;
  if (!run.Inputs(0, {&qkv})) return;
  if (!run.Require(qkv.rank() == 3 && qkv.dim(2) % 3 == 0, "Attention: qkv must be [N, n, 3 d]")) return;
  const int64_t count = qkv.dim(0), n = qkv.dim(1), d = qkv.dim(2) / 3;
  if (!run.Output(0, {count, n, d}, &out) || out.size() == 0) return;
  ForEachImage(count, [&](int i) {
    BestKernels().attention(static_cast<int>(n), static_cast<int>(d), qkv.data() + i * n * d * 3,
                            out.data() + i * n * d, Scratch(AttentionScratch(n, d)));
  });
}

void ComputeAttentionGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor dout, qkv, dqkv;
  if (!run.Inputs(0, {&dout, &qkv})) return;
  if (!run.Require(qkv.rank() == 3 && qkv.dim(2) % 3 == 0 && dout.size() * 3 == qkv.size(),
                   "AttentionGrad: dout must be [N, n, d] and qkv [N, n, 3 d]"))
    return;
  const int64_t count = qkv.dim(0), n = qkv.dim(1), d = qkv.dim(2) / 3;
  if (!run.Output(0, qkv.shape(), &dqkv) || dqkv.size() == 0) return;
  ForEachImage(count, [&](int i) {
    BestKernels().attention_grad(static_cast<int>(n), static_cast<int>(d), dout.data() + i * n * d,
                                 qkv.data() + i * n * d * 3, dqkv.data() + i * n * d * 3,
                                 Scratch(AttentionScratch(n, d)));
  });
}

// ---- swish ----

// Elements that one task takes: enough to be worth handing to another thread.
constexpr int64_t kElementsAtATime = 1 << 14;

template <class Task>
void ForEachPiece(int64_t size, Task task) {
  ForEachImage((size + kElementsAtATime - 1) / kElementsAtATime, [&](int i) {
    const int64_t first = i * kElementsAtATime;
    task(first, size - first < kElementsAtATime ? size - first : kElementsAtATime);
  });
}

void ComputeSwish(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor x, y;
  if (!run.Inputs(0, {&x}) || !run.Output(0, x.shape(), &y) || x.size() == 0) return;
  ForEachPiece(x.size(), [&](int64_t first, int64_t count) {
    BestKernels().swish(count, x.data() + first, y.data() + first);
  });
}

void ComputeSwishGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor dy, x, dx;
  bool in_place = false;
  if (!run.Inputs(1, {&x}) || !run.OutputInPlaceOf(0, 0, x.shape(), &dx, &in_place)) return;
  if (!in_place && (!run.Inputs(0, {&dy}) || !run.Require(dy.size() == x.size(), "SwishGrad: dy must be like x")))
    return;
  if (x.size() == 0) return;
  const float* from = in_place ? dx.data() : dy.data();
  ForEachPiece(x.size(), [&](int64_t first, int64_t count) {
    BestKernels().swish_grad(count, from + first, x.data() + first, dx.data() + first);
  });
}

// ---- a chain of dense layers ----

// The layers' sizes, checked, and where each hidden layer begins in `kept`, per row.
class Chain {
 public:
  bool Read(Run& run, const Tensor& x, const Tensors& weights) {
    if (!run.Require(x.rank() == 2, "DenseChain: x must be [rows, inputs]")) return false;
    sizes_.push_back(static_cast<int>(x.dim(1)));
    for (size_t l = 0; l < weights.size(); l++) {
      const Tensor& w = weights[l];
      if (!run.Require(w.rank() == 2 && w.dim(0) == sizes_.back(), "DenseChain: weights must be [inputs, outputs], each taking what the one before gives"))
        return false;
      sizes_.push_back(static_cast<int>(w.dim(1)));
    }
    for (int size : sizes_) largest_ = size > largest_ ? size : largest_;
    return true;
  }
  int layers() const { return static_cast<int>(sizes_.size()) - 1; }
  int inputs(int layer) const { return sizes_[layer]; }
  int outputs(int layer) const { return sizes_[layer + 1]; }
  ChainShape shape() const { return {layers(), sizes_.data(), largest_}; }
  int64_t hidden() const {
    int64_t sum = 0;
    for (int l = 0; l + 1 < layers(); l++) sum += outputs(l);
    return sum;
  }
  // Where `first` row of each hidden layer is kept.
  std::vector<float*> KeptAt(float* kept, int64_t rows, int64_t first) const {
    std::vector<float*> at;
    for (int l = 0; l + 1 < layers(); l++) {
      at.push_back(kept + first * outputs(l));
      kept += rows * outputs(l);
    }
    return at;
  }

 private:
  std::vector<int> sizes_;
  int largest_ = 0;
};

// Rows that one task takes through all layers: few enough for the cache, enough to be worth handing over.
constexpr int64_t kRowsOfATask = 126;

int64_t PartsOf(int64_t count, int64_t size) { return (count + size - 1) / size; }

template <class Task>
void ForEachPart(int64_t count, int64_t size, Task task) {
  ForEachImage(PartsOf(count, size), [&](int i) {
    const int64_t first = i * size;
    task(i, first, count - first < size ? count - first : size);
  });
}

void ComputeChainTo(TF_OpKernelContext* context, bool keep) {
  Run run(context);
  const int layers = (run.num_inputs() - 1) / 2;
  Tensor x, y, kept;
  Tensors weights(layers), biases(layers);
  Chain chain;
  if (!run.Inputs(0, {&x}) || !run.InputList(1, weights) || !run.InputList(1 + layers, biases)) return;
  if (!chain.Read(run, x, weights)) return;
  for (int l = 0; l < layers; l++)
    if (!run.Require(biases[l].size() == chain.outputs(l), "DenseChain: biases must be [outputs]")) return;
  const int64_t rows = x.dim(0), outputs = chain.outputs(layers - 1);
  if (!run.Output(0, {rows, outputs}, &y) || (keep && !run.Output(1, {rows * chain.hidden()}, &kept))) return;
  const std::vector<const float*> w = DataOf(weights), b = DataOf(biases);
  const ChainShape shape = chain.shape();
  ForEachPart(rows, kRowsOfATask, [&](int, int64_t first, int64_t count) {
    const std::vector<float*> keep_at = keep ? chain.KeptAt(kept.data(), rows, first) : std::vector<float*>();
    BestKernels().dense_chain(shape, static_cast<int>(count), x.data() + first * chain.inputs(0), w.data(), b.data(),
                              keep ? keep_at.data() : nullptr, y.data() + first * outputs,
                              Scratch(ChainScratch(shape, static_cast<int>(count))));
  });
}

void ComputeChain(void*, TF_OpKernelContext* context) { ComputeChainTo(context, false); }
void ComputeChainKeep(void*, TF_OpKernelContext* context) { ComputeChainTo(context, true); }

// The weights' and biases' gradients of one part of the rows, in one piece of memory.
struct ChainGradients {
  std::vector<float*> weights, biases;
  ChainGradients(const Chain& chain, float* at) {
    for (int l = 0; l < chain.layers(); l++) {
      weights.push_back(at);
      at += static_cast<int64_t>(chain.inputs(l)) * chain.outputs(l);
    }
    for (int l = 0; l < chain.layers(); l++) {
      biases.push_back(at);
      at += chain.outputs(l);
    }
  }
  static int64_t Size(const Chain& chain) {
    int64_t size = 0;
    for (int l = 0; l < chain.layers(); l++) size += (chain.inputs(l) + int64_t{1}) * chain.outputs(l);
    return size;
  }
};

// Parts of a sum over rows or images: enough for all threads, and few enough for the memory that each takes.
constexpr int64_t kMostParts = 16;

// The sum over `count` parts, each `size` long, in their order whichever thread was first: the same each time.
void SumParts(float* parts, int64_t count, int64_t size) {
  constexpr int64_t kAtATime = 1 << 15;
  ForEachPart(size, kAtATime, [&](int, int64_t first, int64_t length) {
    for (int64_t part = 1; part < count; part++)
      BestKernels().add(length, parts + part * size + first, parts + first);
  });
}

void ComputeChainGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  const int layers = run.num_inputs() - 3;
  Tensor dy, x, kept, dx;
  Tensors weights(layers), dweights(layers), dbiases(layers);
  Chain chain;
  if (!run.Inputs(0, {&dy, &x, &kept}) || !run.InputList(3, weights) || !chain.Read(run, x, weights)) return;
  const int64_t rows = x.dim(0), outputs = chain.outputs(layers - 1);
  if (!run.Require(dy.size() == rows * outputs && kept.size() == rows * chain.hidden(),
                   "DenseChainGrad: dy must be [rows, outputs], and kept what the chain kept") ||
      !run.Output(0, x.shape(), &dx))
    return;
  for (int l = 0; l < layers; l++)
    if (!run.Output(1 + l, weights[l].shape(), &dweights[l]) ||
        !run.Output(1 + layers + l, {chain.outputs(l)}, &dbiases[l]))
      return;
  // As many parts as there are tasks, up to a limit.
  const int64_t share = PartsOf(rows, kMostParts), part_rows = share > kRowsOfATask ? share : kRowsOfATask;
  const int64_t count = PartsOf(rows, part_rows), size = ChainGradients::Size(chain);
  float *transposed = Workspace(size * (count + (count > 0 ? 1 : 2))), *parts = transposed + size;
  const ChainGradients to_transpose(chain, transposed), sum(chain, parts);
  for (int l = 0; l < layers; l++)
    BestKernels().transpose(chain.inputs(l), chain.outputs(l), weights[l].data(), chain.outputs(l),
                            to_transpose.weights[l]);
  const ChainShape shape = chain.shape();
  ForEachPart(rows, part_rows, [&](int i, int64_t first, int64_t length) {
    const ChainGradients part(chain, parts + i * size);
    const std::vector<float*> kept_at = chain.KeptAt(kept.data(), rows, first);
    BestKernels().dense_chain_grad(shape, static_cast<int>(length), dy.data() + first * outputs,
                                   x.data() + first * chain.inputs(0), to_transpose.weights.data(), kept_at.data(),
                                   dx.data() + first * chain.inputs(0), part.weights.data(), part.biases.data(),
                                   Scratch(ChainScratch(shape, static_cast<int>(length))));
  });
  if (count == 0) memset(parts, 0, size * sizeof(float));
  SumParts(parts, count, size);
  for (int l = 0; l < layers; l++) {
    memcpy(dweights[l].data(), sum.weights[l], dweights[l].size() * sizeof(float));
    memcpy(dbiases[l].data(), sum.biases[l], dbiases[l].size() * sizeof(float));
  }
}

// ---- the gradient of a convolution by its filter ----

void ComputeFilterGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor x, dy, filter, dfilter;
  if (!run.Inputs(0, {&x, &dy, &filter}) || !run.Output(0, filter.shape(), &dfilter)) return;
  if (!run.Require(x.rank() == 4 && dy.rank() == 4 && filter.rank() == 4 && x.dim(0) == dy.dim(0) &&
                       x.dim(1) == dy.dim(1) && x.dim(2) == dy.dim(2) && filter.dim(0) % 2 == 1 &&
                       filter.dim(1) % 2 == 1 && filter.dim(2) == x.dim(3) && filter.dim(3) == dy.dim(3),
                   "FilterGrad: x must be [N, H, W, I], dy [N, H, W, O] and filter [odd, odd, I, O]"))
    return;
  auto int_of = [](int64_t size) { return static_cast<int>(size); };
  const ConvolutionShape shape = {int_of(x.dim(1)),      int_of(x.dim(2)),      int_of(x.dim(3)),
                                  int_of(dy.dim(3)),     int_of(filter.dim(0)), int_of(filter.dim(1))};
  const int64_t images = x.dim(0), size = filter.size(), pixels = x.dim(1) * x.dim(2);
  if (images == 0 || size == 0) {
    memset(dfilter.data(), 0, size * sizeof(float));
    return;
  }
  const int64_t part_images = PartsOf(images, kMostParts), count = PartsOf(images, part_images);
  float* parts = Workspace(size * count);
  ForEachPart(images, part_images, [&](int i, int64_t first, int64_t length) {
    for (int64_t image = first; image < first + length; image++)
      BestKernels().filter_grad(shape, x.data() + image * pixels * shape.inputs,
                                dy.data() + image * pixels * shape.outputs, parts + i * size, image > first,
                                Scratch(pixels * shape.outputs));
  });
  SumParts(parts, count, size);
  memcpy(dfilter.data(), parts, size * sizeof(float));
}

// ---- Adam ----

struct AdamAttributes {
  float share1 = 0, share2 = 0, average_share = 0;
};

void* CreateAdam(TF_OpKernelConstruction* construction) {
  auto* a = new AdamAttributes();
  Status status;
  TF_OpKernelConstruction_GetAttrFloat(construction, "share1", &a->share1, status);
  if (status.ok()) TF_OpKernelConstruction_GetAttrFloat(construction, "share2", &a->share2, status);
  if (status.ok()) TF_OpKernelConstruction_GetAttrFloat(construction, "average_share", &a->average_share, status);
  if (!status.ok()) TF_OpKernelConstruction_Failure(construction, status);
  return a;
}

void DeleteAdam(void* attributes) { delete static_cast<AdamAttributes*>(attributes); }

void ComputeAdamTo(void* kernel, TF_OpKernelContext* context, bool average) {
  const auto& a = *static_cast<AdamAttributes*>(kernel);
  Run run(context);
  const int count = (run.num_inputs() - 1) / (average ? 5 : 4);
  Tensors w(count), m(count), v(count), g(count), averages(average ? count : 0);
  Tensors next_w(count), next_m(count), next_v(count), next_averages(average ? count : 0);
  Tensor settings;
  int input = 0, output = 0;
  for (Tensors* list : {&w, &m, &v, &g, &averages}) {
    if (!run.InputList(input, *list)) return;
    for (size_t i = 0; i < list->size(); i++)
      if (!run.Require((*list)[i].size() == w[i].size(), "Adam: w, m, v, g and averages must be of one size")) return;
    input += static_cast<int>(list->size());
  }
  if (!run.Inputs(input, {&settings}) || !run.Require(settings.size() == 4, "Adam: step must be [4]")) return;
  for (Tensors* list : {&next_w, &next_m, &next_v, &next_averages})
    for (size_t i = 0; i < list->size(); i++)
      if (!run.Output(output++, w[i].shape(), &(*list)[i])) return;
  const float* s = settings.data();
  const AdamStep step = {a.share1, a.share2, s[0], s[1], s[2], s[3]};
  for (int i = 0; i < count; i++)
    ForEachPiece(w[i].size(), [&](int64_t first, int64_t size) {
      BestKernels().adam(step, size, w[i].data() + first, m[i].data() + first, v[i].data() + first,
                         g[i].data() + first, next_w[i].data() + first, next_m[i].data() + first,
                         next_v[i].data() + first);
      if (average)
        BestKernels().approach(size, a.average_share, next_w[i].data() + first, averages[i].data() + first,
                               next_averages[i].data() + first);
    });
}

void ComputeAdam(void* kernel, TF_OpKernelContext* context) { ComputeAdamTo(kernel, context, false); }
void ComputeAdamAverage(void* kernel, TF_OpKernelContext* context) { ComputeAdamTo(kernel, context, true); }

// ---- nearest up-sampling by 2 ----

void ComputeUpsample(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor x, y;
  if (!run.Inputs(0, {&x}) || !run.Require(x.rank() == 4, "Upsample: x must be [N, H, W, C]")) return;
  const int64_t n = x.dim(0), height = x.dim(1), width = x.dim(2), channels = x.dim(3);
  if (!run.Output(0, {n, 2 * height, 2 * width, channels}, &y) || y.size() == 0) return;
  const size_t pixel = channels * sizeof(float);
  ForEachImage(n, [&](int i) {
    for (int64_t h = 0; h < height; h++) {
      const float* from = x.data() + (i * height + h) * width * channels;
      float* to = y.data() + (i * height + h) * 4 * width * channels;
      for (int64_t w = 0; w < width; w++) {
        memcpy(to + 2 * w * channels, from + w * channels, pixel);
        memcpy(to + (2 * w + 1) * channels, from + w * channels, pixel);
      }
      memcpy(to + 2 * width * channels, to, 2 * width * pixel);
    }
  });
}

void ComputeUpsampleGrad(void*, TF_OpKernelContext* context) {
  Run run(context);
  Tensor dy, dx;
  if (!run.Inputs(0, {&dy})) return;
  if (!run.Require(dy.rank() == 4 && dy.dim(1) % 2 == 0 && dy.dim(2) % 2 == 0,
                   "UpsampleGrad: dy must be [N, 2 H, 2 W, C]"))
    return;
  const int64_t n = dy.dim(0), height = dy.dim(1) / 2, width = dy.dim(2) / 2, channels = dy.dim(3);
  if (!run.Output(0, {n, height, width, channels}, &dx) || dx.size() == 0) return;
  ForEachImage(n, [&](int i) {
    for (int64_t h = 0; h < height; h++)
      for (int64_t w = 0; w < width; w++) {
        const float* upper = dy.data() + ((i * height + h) * 4 * width + 2 * w) * channels;
        const float* lower = upper + 2 * width * channels;
        float* to = dx.data() + ((i * height + h) * width + w) * channels;
        for (int64_t c = 0; c < channels; c++)
          to[c] = (upper[c] + upper[c + channels]) + (lower[c] + lower[c + channels]);
      }
  });
}

// ---- shapes ----

typedef TF_ShapeInferenceContext Inference;

class Handle {
 public:
  Handle() = default;
  Handle(const Handle&) = delete;
  ~Handle() { TF_DeleteShapeHandle(handle_); }
  operator TF_ShapeHandle*() { return handle_; }

 private:
  TF_ShapeHandle* handle_ = TF_NewShapeHandle();
};

bool Fine(TF_Status* status) { return TF_GetCode(status) == TF_OK; }

void SameShape(Inference* inference, int input, int output, TF_Status* status) {
  Handle shape;
  TF_ShapeInferenceContextGetInput(inference, input, shape, status);
  if (Fine(status)) TF_ShapeInferenceContextSetOutput(inference, output, shape, status);
}

// -1 where it is not known.
int64_t DimOf(Inference* inference, TF_ShapeHandle* shape, int i) {
  TF_DimensionHandle* dim = TF_NewDimensionHandle();
  TF_ShapeInferenceContextDim(inference, shape, i, dim);
  const int64_t value = TF_DimensionHandleValueKnown(dim) ? TF_DimensionHandleValue(dim) : -1;
  TF_DeleteDimensionHandle(dim);
  return value;
}

// The output is the input with a few dimensions multiplied, which the C API can only say through new vectors.
void ScaledShape(Inference* inference, std::initializer_list<double> factors, TF_Status* status) {
  Handle input;
  TF_ShapeInferenceContextGetInput(inference, 0, input, status);
  if (!Fine(status)) return;
  TF_ShapeHandle* output = TF_ShapeInferenceContextScalar(inference);
  int i = 0;
  bool known = TF_ShapeInferenceContextRankKnown(inference, input);
  for (double factor : factors) {
    const int64_t dim = known ? DimOf(inference, input, i++) : -1;
    known = known && dim >= 0;
    if (!known) break;
    TF_ShapeHandle* last = TF_ShapeInferenceContextVectorFromSize(inference, static_cast<size_t>(dim * factor));
    TF_ShapeHandle* longer = TF_NewShapeHandle();
    TF_ShapeInferenceContextConcatenateShapes(inference, output, last, longer, status);
    TF_DeleteShapeHandle(last);
    TF_DeleteShapeHandle(output);
    output = longer;
  }
  if (known)
    TF_ShapeInferenceContextSetOutput(inference, 0, output, status);
  else
    TF_ShapeInferenceContextSetUnknownShape(inference, status);
  TF_DeleteShapeHandle(output);
}

void NormShapes(Inference* inference, TF_Status* status) {
  SameShape(inference, 0, 0, status);
  Handle x, n, channels, statistics;
  TF_ShapeInferenceContextGetInput(inference, 0, x, status);
  TF_ShapeInferenceContextGetInput(inference, 2, channels, status);
  if (Fine(status)) TF_ShapeInferenceContextSubshape(inference, x, 0, 1, n, status);
  if (Fine(status)) TF_ShapeInferenceContextConcatenateShapes(inference, n, channels, statistics, status);
  if (Fine(status)) TF_ShapeInferenceContextSetOutput(inference, 1, statistics, status);
  if (Fine(status)) TF_ShapeInferenceContextSetOutput(inference, 2, statistics, status);
}

void NormGradShapes(Inference* inference, TF_Status* status) {
  for (int output = 0; output < 4; output++) SameShape(inference, output + 1, output, status);
}

// [rows] of x and [outputs] of the last bias; inputs are flat, so that the last is the last of all.
void ChainShapes(Inference* inference, TF_Status* status) {
  Handle x, bias, rows, y;
  const int64_t inputs = TF_ShapeInferenceContextNumInputs(inference);
  TF_ShapeInferenceContextGetInput(inference, 0, x, status);
  if (Fine(status)) TF_ShapeInferenceContextGetInput(inference, static_cast<int>(inputs - 1), bias, status);
  if (Fine(status)) TF_ShapeInferenceContextSubshape(inference, x, 0, 1, rows, status);
  if (Fine(status)) TF_ShapeInferenceContextConcatenateShapes(inference, rows, bias, y, status);
  if (Fine(status)) TF_ShapeInferenceContextSetOutput(inference, 0, y, status);
}

void ChainKeepShapes(Inference* inference, TF_Status* status) {
  ChainShapes(inference, status);
  const int64_t layers = (TF_ShapeInferenceContextNumInputs(inference) - 1) / 2;
  Handle x;
  if (Fine(status)) TF_ShapeInferenceContextGetInput(inference, 0, x, status);
  int64_t size = Fine(status) && TF_ShapeInferenceContextRankKnown(inference, x) ? DimOf(inference, x, 0) : -1;
  int64_t hidden = 0;
  for (int64_t l = 1; l < layers && hidden >= 0; l++) {
    Handle bias;
    if (Fine(status)) TF_ShapeInferenceContextGetInput(inference, static_cast<int>(layers + l), bias, status);
    const bool known = Fine(status) && TF_ShapeInferenceContextRankKnown(inference, bias);
    const int64_t outputs = known ? DimOf(inference, bias, 0) : -1;
    hidden = outputs < 0 ? -1 : hidden + outputs;
  }
  if (!Fine(status)) return;
  TF_ShapeHandle* kept = size < 0 || hidden < 0
                             ? TF_NewShapeHandle()
                             : TF_ShapeInferenceContextVectorFromSize(inference, static_cast<size_t>(size * hidden));
  TF_ShapeInferenceContextSetOutput(inference, 1, kept, status);
  TF_DeleteShapeHandle(kept);
}

void ChainGradShapes(Inference* inference, TF_Status* status) {
  SameShape(inference, 1, 0, status);
  const int64_t layers = TF_ShapeInferenceContextNumInputs(inference) - 3;
  for (int l = 0; l < layers && Fine(status); l++) {
    SameShape(inference, 3 + l, 1 + l, status);
    Handle weight, bias;
    if (Fine(status)) TF_ShapeInferenceContextGetInput(inference, 3 + l, weight, status);
    if (Fine(status)) TF_ShapeInferenceContextSubshape(inference, weight, 1, 2, bias, status);
    if (Fine(status)) TF_ShapeInferenceContextSetOutput(inference, static_cast<int>(1 + layers + l), bias, status);
  }
}

// The first `kept` lists of `lists` keep their shapes; the last input is the step.
void AdamShapesOf(Inference* inference, int lists, std::initializer_list<int> kept, TF_Status* status) {
  const int count = static_cast<int>(TF_ShapeInferenceContextNumInputs(inference) - 1) / lists;
  int output = 0;
  for (int list : kept)
    for (int i = 0; i < count && Fine(status); i++) SameShape(inference, list * count + i, output++, status);
}
void AdamShapes(Inference* inference, TF_Status* status) { AdamShapesOf(inference, 4, {0, 1, 2}, status); }
void AdamAverageShapes(Inference* inference, TF_Status* status) { AdamShapesOf(inference, 5, {0, 1, 2, 4}, status); }

void FilterGradShape(Inference* inference, TF_Status* status) { SameShape(inference, 2, 0, status); }
void SwishShape(Inference* inference, TF_Status* status) { SameShape(inference, 0, 0, status); }
void AttentionShape(Inference* inference, TF_Status* status) { ScaledShape(inference, {1, 1, 1. / 3}, status); }
void AttentionGradShape(Inference* inference, TF_Status* status) { SameShape(inference, 1, 0, status); }
void UpsampleShape(Inference* inference, TF_Status* status) { ScaledShape(inference, {1, 2, 2, 1}, status); }
void UpsampleGradShape(Inference* inference, TF_Status* status) { ScaledShape(inference, {1, .5, .5, 1}, status); }

// ---- registration ----

struct Op {
  const char* name;
  std::initializer_list<const char*> inputs, outputs, attributes;
  void (*shapes)(Inference*, TF_Status*);
  void* (*create)(TF_OpKernelConstruction*);
  void (*compute)(void*, TF_OpKernelContext*);
  void (*destroy)(void*);
};

void Register(const Op& op) {
  TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(op.name);
  for (const char* attribute : op.attributes) TF_OpDefinitionBuilderAddAttr(builder, attribute);
  for (const char* input : op.inputs) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : op.outputs) TF_OpDefinitionBuilderAddOutput(builder, output);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, op.shapes);
  Status status;
  TF_RegisterOpDefinition(builder, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder(op.name, "CPU", op.create, op.compute, op.destroy);
  if (status.ok()) TF_RegisterKernelBuilder(op.name, kernel, status);
  if (!status.ok()) fprintf(stderr, "%s could not be registered: %s\n", op.name, TF_Message(status));
}

const std::initializer_list<const char*> kNormAttributes = {"groups: int", "epsilon: float", "swish: bool"};

// Runs when the addon is loaded.
const bool registered = [] {
  Register({"LowerBoundGroupNorm",
            {"x: float", "shift: float", "gamma: float", "beta: float"},
            {"y: float", "mean: float", "rstd: float"},
            kNormAttributes, NormShapes, CreateNorm, ComputeNorm, DeleteNorm});
  Register({"LowerBoundGroupNormGrad",
            {"dy: float", "x: float", "shift: float", "gamma: float", "beta: float", "mean: float", "rstd: float"},
            {"dx: float", "dshift: float", "dgamma: float", "dbeta: float"},
            kNormAttributes, NormGradShapes, CreateNorm, ComputeNormGrad, DeleteNorm});
  Register({"LowerBoundAttention", {"qkv: float"}, {"out: float"}, {}, AttentionShape, nullptr, ComputeAttention, nullptr});
  Register({"LowerBoundAttentionGrad", {"dout: float", "qkv: float"}, {"dqkv: float"}, {}, AttentionGradShape, nullptr,
            ComputeAttentionGrad, nullptr});
  Register({"LowerBoundFilterGrad", {"x: float", "dy: float", "filter: float"}, {"dfilter: float"}, {}, FilterGradShape,
            nullptr, ComputeFilterGrad, nullptr});
  const char *weights = "weights: layers * float", *biases = "biases: layers * float", *layers = "layers: int >= 1";
  Register({"LowerBoundDenseChain", {"x: float", weights, biases}, {"y: float"}, {layers}, ChainShapes, nullptr,
            ComputeChain, nullptr});
  Register({"LowerBoundDenseChainKeep", {"x: float", weights, biases}, {"y: float", "kept: float"}, {layers},
            ChainKeepShapes, nullptr, ComputeChainKeep, nullptr});
  Register({"LowerBoundDenseChainGrad",
            {"dy: float", "x: float", "kept: float", weights},
            {"dx: float", "dweights: layers * float", "dbiases: layers * float"},
            {layers}, ChainGradShapes, nullptr, ComputeChainGrad, nullptr});
  const std::initializer_list<const char*> shares = {"count: int >= 1", "share1: float", "share2: float",
                                                     "average_share: float"};
  Register({"LowerBoundAdam",
            {"w: count * float", "m: count * float", "v: count * float", "g: count * float", "step: float"},
            {"next_w: count * float", "next_m: count * float", "next_v: count * float"},
            shares, AdamShapes, CreateAdam, ComputeAdam, DeleteAdam});
  Register({"LowerBoundAdamAverage",
            {"w: count * float", "m: count * float", "v: count * float", "g: count * float", "averages: count * float",
             "step: float"},
            {"next_w: count * float", "next_m: count * float", "next_v: count * float",
             "next_averages: count * float"},
            shares, AdamAverageShapes, CreateAdam, ComputeAdamAverage, DeleteAdam});
  Register({"LowerBoundSwish", {"x: float"}, {"y: float"}, {}, SwishShape, nullptr, ComputeSwish, nullptr});
  Register({"LowerBoundSwishGrad", {"dy: float", "x: float"}, {"dx: float"}, {}, SwishShape, nullptr,
            ComputeSwishGrad, nullptr});
  Register({"LowerBoundUpsample", {"x: float"}, {"y: float"}, {}, UpsampleShape, nullptr, ComputeUpsample, nullptr});
  Register({"LowerBoundUpsampleGrad", {"dy: float"}, {"dx: float"}, {}, UpsampleGradShape, nullptr,
            ComputeUpsampleGrad, nullptr});
  return true;
}();

}  // namespace
}  // namespace lower_bound
