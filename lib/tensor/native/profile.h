#ifndef LOWER_BOUND_PROFILE_H_
#define LOWER_BOUND_PROFILE_H_

#include <node_api.h>

namespace lower_bound {

// Whether this build can profile; without it the two below do nothing.
bool HasProfiler();

napi_value StartProfile(napi_env env);

// A Buffer with a serialized tensorflow.profiler.XSpace of what ran since StartProfile().
napi_value StopProfile(napi_env env);

}  // namespace lower_bound

#endif  // LOWER_BOUND_PROFILE_H_
