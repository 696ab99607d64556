// The addon's entry point: the npm package's exports, and ours beside them.
//
// The package's tfjs_binding.cc is included, not compiled by itself: its functions are private to its file, and
// a Node addon has one entry point. Its NAPI_MODULE line is silenced and ours below takes its place.
#include <node_api.h>

#undef NAPI_MODULE
#define NAPI_MODULE(name, init)
#include "tfjs_binding.cc"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "graph.h"
#include "profile.h"

namespace lower_bound {
namespace {

// Access to one private field of the package's backend. The arguments of an explicit instantiation are exempt
// from access checking ([temp.explicit]), which lets this name the field without touching the package.
struct ContextField {
  typedef TFE_Context* tfnodejs::TFJSBackend::*Pointer;
  friend Pointer PointerTo(ContextField);
};
template <class Field, typename Field::Pointer pointer>
struct Reveal {
  friend typename Field::Pointer PointerTo(Field) { return pointer; }
};
template struct Reveal<ContextField, &tfnodejs::TFJSBackend::tfe_context_>;

TFE_Context* ContextOf(napi_env env) {
  tfnodejs::TFJSBackend* backend = tfnodejs::GetTFJSBackend(env);
  return backend == nullptr ? nullptr : backend->*PointerTo(ContextField());
}

// The arguments of a call, missing ones undefined.
template <size_t count>
struct Arguments {
  napi_value at[count];
  Arguments(napi_env env, napi_callback_info info) {
    size_t given = count;
    napi_get_cb_info(env, info, &given, at, nullptr, nullptr);
  }
};

napi_value NewGraphCallback(napi_env env, napi_callback_info) { return NewGraph(env); }

napi_value AddOpCallback(napi_env env, napi_callback_info info) {
  const Arguments<6> a(env, info);
  return AddOp(env, a.at[0], a.at[1], a.at[2], a.at[3], a.at[4], a.at[5]);
}

napi_value AddConstCallback(napi_env env, napi_callback_info info) {
  const Arguments<4> a(env, info);
  return AddConst(env, a.at[0], a.at[1], a.at[2], a.at[3]);
}

napi_value RegisterFunctionCallback(napi_env env, napi_callback_info info) {
  const Arguments<7> a(env, info);
  return RegisterFunction(env, ContextOf(env), a.at[0], a.at[1], a.at[2], a.at[3], a.at[4], a.at[5], a.at[6]);
}

napi_value RemoveFunctionCallback(napi_env env, napi_callback_info info) {
  const Arguments<1> a(env, info);
  return RemoveFunction(env, ContextOf(env), a.at[0]);
}

napi_value StartProfileCallback(napi_env env, napi_callback_info) { return StartProfile(env); }
napi_value StopProfileCallback(napi_env env, napi_callback_info) { return StopProfile(env); }

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

// A training step allocates and frees the same hundreds of large buffers each time. glibc would hand each back
// to the system and fault its pages in anew; keeping them costs no more memory than the step's own peak.
void KeepFreedMemory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
#endif
}

}  // namespace
}  // namespace lower_bound

NAPI_MODULE_INIT() {
  lower_bound::KeepFreedMemory();
  napi_value result = tfnodejs::InitTFNodeJSBinding(env, exports);
  if (result == nullptr) return nullptr;
  lower_bound::Export(env, result, "newGraph", lower_bound::NewGraphCallback);
  lower_bound::Export(env, result, "addOp", lower_bound::AddOpCallback);
  lower_bound::Export(env, result, "addConst", lower_bound::AddConstCallback);
  lower_bound::Export(env, result, "registerFunction", lower_bound::RegisterFunctionCallback);
  lower_bound::Export(env, result, "removeFunction", lower_bound::RemoveFunctionCallback);
  if (lower_bound::HasProfiler()) {
    lower_bound::Export(env, result, "startProfile", lower_bound::StartProfileCallback);
    lower_bound::Export(env, result, "stopProfile", lower_bound::StopProfileCallback);
  }
  napi_value yes;
  napi_get_boolean(env, true, &yes);
  napi_set_named_property(env, result, "hasFusedOps", yes);  // those of ops.cc
  return result;
}
