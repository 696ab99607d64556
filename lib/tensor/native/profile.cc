// TensorFlow's own profiler, for the bench: which op took how long. Its C API has none, so this uses the C++ one
// where the headers for it are there and the compiler's standard library is the one TensorFlow was built with.
#include "profile.h"

#if defined(__linux__) && __has_include("google/protobuf/message.h") && __has_include("tsl/profiler/lib/profiler_session.h")
#include <string>
#if defined(__GLIBCXX__)
#define LB_PROFILER 1
#endif
#endif

#if defined(LB_PROFILER)
#include <memory>

#include "tsl/profiler/lib/profiler_session.h"
#include "tsl/profiler/protobuf/xplane.pb.h"

namespace lower_bound {
namespace {
std::unique_ptr<tsl::ProfilerSession> session;
}  // namespace

bool HasProfiler() { return true; }

napi_value StartProfile(napi_env) {
  session = tsl::ProfilerSession::Create(tsl::ProfilerSession::DefaultOptions());
  return nullptr;
}

napi_value StopProfile(napi_env env) {
  napi_value result = nullptr;
  if (session == nullptr) {
    napi_throw_error(env, nullptr, "stopProfile without startProfile");
    return nullptr;
  }
  tensorflow::profiler::XSpace space;
  const absl::Status status = session->CollectData(&space);
  session.reset();
  std::string bytes;
  if (!status.ok() || !space.SerializeToString(&bytes)) {
    napi_throw_error(env, nullptr, std::string(status.message()).c_str());
    return nullptr;
  }
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &result);
  return result;
}

}  // namespace lower_bound

#else

namespace lower_bound {
bool HasProfiler() { return false; }
napi_value StartProfile(napi_env) { return nullptr; }
napi_value StopProfile(napi_env) { return nullptr; }
}  // namespace lower_bound

#endif
