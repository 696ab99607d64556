// The level from which TensorFlow's logger (Abseil's) prints: errors only, unless TF_CPP_MIN_LOG_LEVEL is 0 or 1.
//
// That variable does not reach the lines that Abseil prints before a program has initialized it, which a Node
// process never does; and the first of them come while TensorFlow's library is being loaded, before any code of
// ours could call SetMinLogLevel(). So the addon defines the function that the logger asks. On Linux the addon
// comes before the libraries that it depends on when their symbols are looked up; elsewhere, and with a
// TensorFlow whose Abseil has no such function, this file changes nothing.
#if defined(__linux__) && __has_include("absl/base/log_severity.h")
#include <cstdlib>

#include "absl/base/log_severity.h"

namespace absl {
ABSL_NAMESPACE_BEGIN

__attribute__((visibility("default"))) LogSeverityAtLeast MinLogLevel() {
  static const LogSeverityAtLeast level = [] {
    const char* asked = std::getenv("TF_CPP_MIN_LOG_LEVEL");
    const bool verbose = asked != nullptr && std::atoi(asked) < 2;
    return verbose ? LogSeverityAtLeast::kInfo : LogSeverityAtLeast::kError;
  }();
  return level;
}

ABSL_NAMESPACE_END
}  // namespace absl
#endif
