// Graph functions for the eager context, as N-API callbacks' bodies.
#ifndef LOWER_BOUND_GRAPH_H_
#define LOWER_BOUND_GRAPH_H_

#include <node_api.h>

#include "tensorflow/c/eager/c_api.h"

namespace lower_bound {

// newGraph(): an empty graph, freed with the JavaScript value.
napi_value NewGraph(napi_env env);

// addOp(graph, op, inputs, controls, attrs, shape?): adds one operation and returns its inferred outputs,
// [{dtype, shape?}], where a missing shape is one that TensorFlow cannot know before it runs.
//   inputs   Int32Array of pairs: index of an earlier operation, which of its outputs
//   controls Int32Array of earlier operations that must run before this one
//   attrs    [{name, type, value}] as executeOp() takes them; lists of types and of shapes too
//   shape    what output 0 is known to have, where inference cannot tell (reading a variable)
napi_value AddOp(napi_env env, napi_value graph, napi_value op, napi_value inputs, napi_value controls,
                 napi_value attrs, napi_value shape);

// addConst(graph, dtype, shape, values): adds a constant; the typed array is copied.
napi_value AddConst(napi_env env, napi_value graph, napi_value dtype, napi_value shape, napi_value values);

// registerFunction(name, graph, body, inputs, outputs, controls, xla): registers operations of the graph as a
// function that executeOp(name) runs.
//   body     Int32Array of operations, or null for all of them
//   inputs, outputs  Int32Array of pairs as in addOp()
//   controls Int32Array of operations that must run even where no output needs them
napi_value RegisterFunction(napi_env env, TFE_Context* context, napi_value name, napi_value graph,
                            napi_value body, napi_value inputs, napi_value outputs, napi_value controls,
                            napi_value xla);

// removeFunction(name): forgets a registered function.
napi_value RemoveFunction(napi_env env, TFE_Context* context, napi_value name);

}  // namespace lower_bound

#endif  // LOWER_BOUND_GRAPH_H_
