// The fused ops as TensorFlow ops, through its public C API for custom ops (c/ops.h, c/kernels.h). They are
// registered when the addon is loaded and run on the CPU; without kernels for other devices nobody asks for them.
//
//   LowerBoundGroupNorm      (x, shift, gamma, beta) -> (y, mean, rstd)
//   LowerBoundGroupNormGrad  (dy, x, shift, gamma, beta, mean, rstd) -> (dx, dshift, dgamma, dbeta)
//   LowerBoundAttention      (qkv) -> out
//   LowerBoundAttentionGrad  (dout, qkv) -> dqkv
//   LowerBoundSwish          (x) -> y
//   LowerBoundSwishGrad      (dy, x) -> dx
//   LowerBoundUpsample       (x) -> y
//   LowerBoundUpsampleGrad   (dy) -> dx
//
// x, y [N, ..., C]; shift [N, C], added to x, or [0]; gamma, beta [C]; mean, rstd [N, C], equal within a group;
// qkv [N, n, 3 d]; attributes: groups, epsilon, swish. All float32. What each computes is said in ../ops.ts.
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
