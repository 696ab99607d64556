// Records a TensorFlow graph one operation at a time and turns it into a function of the eager context.
//
// Only TensorFlow's public C API is used, all of it unchanged since TensorFlow 2.0. Operations are known to
// JavaScript by their index, in order of addition, so no names cross the border.
#include "graph.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tf_auto_status.h"
#include "utils.h"

namespace lower_bound {
namespace {

// How an op takes one of its inputs: as a single tensor, or as a list whose length is in an attribute ("N") or
// is that of a list of types.
struct InputArg {
  std::string number_attr;
  bool type_list = false;
};

struct Graph {
  TF_Graph* graph = TF_NewGraph();
  std::vector<TF_Operation*> ops;
  std::unordered_map<std::string, std::vector<InputArg>> inputs_of;  // by op type
  ~Graph() { TF_DeleteGraph(graph); }
};

bool Failed(napi_env env, TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return false;
  napi_throw_error(env, nullptr, TF_Message(status));
  return true;
}

Graph* GraphOf(napi_env env, napi_value value) {
  void* graph = nullptr;
  if (napi_get_value_external(env, value, &graph) != napi_ok) napi_throw_type_error(env, nullptr, "not a graph");
  return static_cast<Graph*>(graph);
}

std::string StringOf(napi_env env, napi_value value) {
  std::string text;
  tfnodejs::GetStringParam(env, value, text);
  return text;
}

struct Int32View {
  const int32_t* data = nullptr;
  size_t size = 0;
};

Int32View Int32sOf(napi_env env, napi_value value) {
  Int32View view;
  napi_typedarray_type type;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &view.size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array) {
    napi_throw_type_error(env, nullptr, "expected an Int32Array");
    return Int32View();
  }
  view.data = static_cast<const int32_t*>(data);
  return view;
}

TF_Operation* OpAt(napi_env env, const Graph& graph, int32_t index) {
  if (index >= 0 && static_cast<size_t>(index) < graph.ops.size()) return graph.ops[index];
  napi_throw_range_error(env, nullptr, "no such operation in this graph");
  return nullptr;
}

bool OutputsOf(napi_env env, const Graph& graph, const Int32View& pairs, std::vector<TF_Output>* outputs) {
  for (size_t i = 0; i + 1 < pairs.size; i += 2) {
    TF_Operation* op = OpAt(env, graph, pairs.data[i]);
    if (op == nullptr) return false;
    outputs->push_back({op, pairs.data[i + 1]});
  }
  return true;
}

bool OpsOf(napi_env env, const Graph& graph, const Int32View& indices, std::vector<const TF_Operation*>* ops) {
  for (size_t i = 0; i < indices.size; i++) {
    const TF_Operation* op = OpAt(env, graph, indices.data[i]);
    if (op == nullptr) return false;
    ops->push_back(op);
  }
  return true;
}

// ---- which of an op's inputs are lists: read from its serialized OpDef ----

uint64_t Varint(const uint8_t*& p, const uint8_t* end) {
  uint64_t value = 0;
  for (int shift = 0; p < end; shift += 7) {
    const uint8_t byte = *p++;
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) break;
  }
  return value;
}

// Calls visit(field, bytes, length) for each length-delimited field of a protobuf message.
template <class Visit>
void EachBytesField(const uint8_t* p, const uint8_t* end, Visit visit) {
  while (p < end) {
    const uint64_t key = Varint(p, end);
    switch (key & 7) {
      case 0: Varint(p, end); break;
      case 1: p += 8; break;
      case 5: p += 4; break;
      default: {
        const uint64_t length = Varint(p, end);
        visit(static_cast<int>(key >> 3), p, length);
        p += length;
      }
    }
  }
}

const std::vector<InputArg>* InputsOf(Graph* graph, const std::string& op, TF_Status* status) {
  const auto found = graph->inputs_of.find(op);
  if (found != graph->inputs_of.end()) return &found->second;
  TF_Buffer* buffer = TF_NewBuffer();
  TF_GraphGetOpDef(graph->graph, op.c_str(), buffer, status);
  std::vector<InputArg> args;
  if (TF_GetCode(status) == TF_OK) {
    const auto* bytes = static_cast<const uint8_t*>(buffer->data);
    constexpr int kOpDefInputArg = 2, kArgDefNumberAttr = 5, kArgDefTypeListAttr = 6;
    EachBytesField(bytes, bytes + buffer->length, [&](int field, const uint8_t* p, uint64_t length) {
      if (field != kOpDefInputArg) return;
      InputArg arg;
      EachBytesField(p, p + length, [&](int f, const uint8_t* q, uint64_t n) {
        if (f == kArgDefNumberAttr) arg.number_attr.assign(reinterpret_cast<const char*>(q), n);
        if (f == kArgDefTypeListAttr) arg.type_list = n > 0;
      });
      args.push_back(arg);
    });
  }
  TF_DeleteBuffer(buffer);
  if (TF_GetCode(status) != TF_OK) return nullptr;
  return &graph->inputs_of.emplace(op, args).first->second;
}

// ---- attributes ----

bool IsArray(napi_env env, napi_value value) {
  bool is = false;
  napi_is_array(env, value, &is);
  return is;
}

template <class Each>
void EachElement(napi_env env, napi_value array, Each each) {
  uint32_t length = 0;
  napi_get_array_length(env, array, &length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    napi_get_element(env, array, i, &element);
    each(element);
  }
}

int64_t Int64Of(napi_env env, napi_value value) {
  int64_t number = 0;
  napi_get_value_int64(env, value, &number);
  return number;
}

float FloatOf(napi_env env, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  return static_cast<float>(number);
}

bool BoolOf(napi_env env, napi_value value) {
  bool flag = false;
  napi_get_value_bool(env, value, &flag);
  return flag;
}

std::vector<int64_t> ShapeOf(napi_env env, napi_value value) {
  std::vector<int64_t> shape;
  EachElement(env, value, [&](napi_value d) { shape.push_back(Int64Of(env, d)); });
  return shape;
}

struct Attr {
  std::string name;
  TF_AttrType type;
  napi_value value;
};

Attr AttrOf(napi_env env, napi_value object) {
  napi_value name, type, value;
  napi_get_named_property(env, object, "name", &name);
  napi_get_named_property(env, object, "type", &type);
  napi_get_named_property(env, object, "value", &value);
  return {StringOf(env, name), static_cast<TF_AttrType>(Int64Of(env, type)), value};
}

void SetShapeList(napi_env env, TF_OperationDescription* op, const Attr& attr) {
  std::vector<std::vector<int64_t>> shapes;
  EachElement(env, attr.value, [&](napi_value s) { shapes.push_back(ShapeOf(env, s)); });
  std::vector<const int64_t*> dims;
  std::vector<int> ranks;
  for (const auto& shape : shapes) {
    dims.push_back(shape.data());
    ranks.push_back(static_cast<int>(shape.size()));
  }
  TF_SetAttrShapeList(op, attr.name.c_str(), dims.data(), ranks.data(), static_cast<int>(shapes.size()));
}

void SetList(napi_env env, TF_OperationDescription* op, const Attr& attr) {
  const char* name = attr.name.c_str();
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<unsigned char> bools;
  std::vector<TF_DataType> types;
  EachElement(env, attr.value, [&](napi_value v) {
    if (attr.type == TF_ATTR_INT) ints.push_back(Int64Of(env, v));
    if (attr.type == TF_ATTR_FLOAT) floats.push_back(FloatOf(env, v));
    if (attr.type == TF_ATTR_BOOL) bools.push_back(BoolOf(env, v));
    if (attr.type == TF_ATTR_TYPE) types.push_back(static_cast<TF_DataType>(Int64Of(env, v)));
  });
  if (attr.type == TF_ATTR_INT) TF_SetAttrIntList(op, name, ints.data(), static_cast<int>(ints.size()));
  if (attr.type == TF_ATTR_FLOAT) TF_SetAttrFloatList(op, name, floats.data(), static_cast<int>(floats.size()));
  if (attr.type == TF_ATTR_BOOL) TF_SetAttrBoolList(op, name, bools.data(), static_cast<int>(bools.size()));
  if (attr.type == TF_ATTR_TYPE) TF_SetAttrTypeList(op, name, types.data(), static_cast<int>(types.size()));
}

bool FirstElementIsArray(napi_env env, napi_value array) {
  napi_value first;
  uint32_t length = 0;
  napi_get_array_length(env, array, &length);
  return length > 0 && napi_get_element(env, array, 0, &first) == napi_ok && IsArray(env, first);
}

void SetAttr(napi_env env, TF_OperationDescription* op, const Attr& attr) {
  const char* name = attr.name.c_str();
  if (attr.type == TF_ATTR_SHAPE) {
    if (FirstElementIsArray(env, attr.value)) return SetShapeList(env, op, attr);
    const std::vector<int64_t> shape = ShapeOf(env, attr.value);
    return TF_SetAttrShape(op, name, shape.data(), static_cast<int>(shape.size()));
  }
  if (IsArray(env, attr.value)) return SetList(env, op, attr);
  switch (attr.type) {
    case TF_ATTR_STRING: {
      const std::string text = StringOf(env, attr.value);
      return TF_SetAttrString(op, name, text.data(), text.size());
    }
    case TF_ATTR_INT: return TF_SetAttrInt(op, name, Int64Of(env, attr.value));
    case TF_ATTR_FLOAT: return TF_SetAttrFloat(op, name, FloatOf(env, attr.value));
    case TF_ATTR_BOOL: return TF_SetAttrBool(op, name, BoolOf(env, attr.value));
    case TF_ATTR_TYPE: return TF_SetAttrType(op, name, static_cast<TF_DataType>(Int64Of(env, attr.value)));
    default: napi_throw_error(env, nullptr, ("attribute " + attr.name + " has an unknown type").c_str());
  }
}

// ---- inputs and outputs ----

size_t ListLength(napi_env env, const InputArg& arg, const std::vector<Attr>& attrs, size_t rest) {
  if (arg.type_list) return rest;
  for (const Attr& attr : attrs)
    if (attr.name == arg.number_attr) return static_cast<size_t>(Int64Of(env, attr.value));
  return rest;
}

void AddInputs(napi_env env, TF_OperationDescription* op, const std::vector<InputArg>& args,
               const std::vector<Attr>& attrs, const std::vector<TF_Output>& inputs) {
  size_t next = 0;
  for (const InputArg& arg : args) {
    if (arg.number_attr.empty() && !arg.type_list) {
      if (next < inputs.size()) TF_AddInput(op, inputs[next]);
      next++;
      continue;
    }
    const size_t length = ListLength(env, arg, attrs, inputs.size() - next);
    if (next + length <= inputs.size()) TF_AddInputList(op, &inputs[next], static_cast<int>(length));
    next += length;
  }
}

napi_value DescribeOutput(napi_env env, TF_Graph* graph, TF_Output output) {
  napi_value info, dtype, shape;
  napi_create_object(env, &info);
  napi_create_int32(env, TF_OperationOutputType(output), &dtype);
  napi_set_named_property(env, info, "dtype", dtype);
  tfnodejs::TF_AutoStatus status;
  const int rank = TF_GraphGetTensorNumDims(graph, output, status.status);
  if (rank < 0) return info;
  std::vector<int64_t> dims(rank);
  TF_GraphGetTensorShape(graph, output, dims.data(), rank, status.status);
  napi_create_array_with_length(env, rank, &shape);
  for (int d = 0; d < rank; d++) {
    if (dims[d] < 0) return info;
    napi_value size;
    napi_create_int64(env, dims[d], &size);
    napi_set_element(env, shape, d, size);
  }
  napi_set_named_property(env, info, "shape", shape);
  return info;
}

napi_value Finish(napi_env env, Graph* graph, TF_OperationDescription* description, napi_value shape) {
  tfnodejs::TF_AutoStatus status;
  TF_Operation* op = TF_FinishOperation(description, status.status);
  if (Failed(env, status.status)) return nullptr;
  graph->ops.push_back(op);
  if (shape != nullptr && IsArray(env, shape)) {
    const std::vector<int64_t> dims = ShapeOf(env, shape);
    TF_GraphSetTensorShape(graph->graph, {op, 0}, dims.data(), static_cast<int>(dims.size()), status.status);
    if (Failed(env, status.status)) return nullptr;
  }
  napi_value outputs;
  const int count = TF_OperationNumOutputs(op);
  napi_create_array_with_length(env, count, &outputs);
  for (int i = 0; i < count; i++) napi_set_element(env, outputs, i, DescribeOutput(env, graph->graph, {op, i}));
  return outputs;
}

std::string NewName(const Graph& graph, const std::string& op) { return op + "_" + std::to_string(graph.ops.size()); }

// Memory of TensorFlow's own, so that the JavaScript array may change or go.
TF_Tensor* CopyToTensor(napi_env env, TF_DataType dtype, const std::vector<int64_t>& shape, napi_value values) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, values, &type, &length, &data, nullptr, nullptr) != napi_ok) return nullptr;
  const size_t width = type == napi_uint8_array ? 1 : 4;
  TF_Tensor* tensor = TF_AllocateTensor(dtype, shape.data(), static_cast<int>(shape.size()), length * width);
  if (tensor == nullptr || TF_TensorByteSize(tensor) != length * width) {
    if (tensor != nullptr) TF_DeleteTensor(tensor);
    return nullptr;
  }
  if (length > 0) memcpy(TF_TensorData(tensor), data, length * width);
  return tensor;
}

}  // namespace

napi_value NewGraph(napi_env env) {
  napi_value external;
  napi_create_external(
      env, new Graph(), [](napi_env, void* graph, void*) { delete static_cast<Graph*>(graph); }, nullptr, &external);
  return external;
}

napi_value AddOp(napi_env env, napi_value graph_value, napi_value op_value, napi_value inputs_value,
                 napi_value controls_value, napi_value attrs_value, napi_value shape) {
  Graph* graph = GraphOf(env, graph_value);
  if (graph == nullptr) return nullptr;
  const std::string op = StringOf(env, op_value);
  tfnodejs::TF_AutoStatus status;
  const std::vector<InputArg>* args = InputsOf(graph, op, status.status);
  if (Failed(env, status.status)) return nullptr;
  std::vector<TF_Output> inputs;
  std::vector<const TF_Operation*> controls;
  if (!OutputsOf(env, *graph, Int32sOf(env, inputs_value), &inputs)) return nullptr;
  if (!OpsOf(env, *graph, Int32sOf(env, controls_value), &controls)) return nullptr;
  std::vector<Attr> attrs;
  EachElement(env, attrs_value, [&](napi_value a) { attrs.push_back(AttrOf(env, a)); });

  TF_OperationDescription* description = TF_NewOperation(graph->graph, op.c_str(), NewName(*graph, op).c_str());
  AddInputs(env, description, *args, attrs, inputs);
  for (const TF_Operation* control : controls)
    TF_AddControlInput(description, const_cast<TF_Operation*>(control));
  for (const Attr& attr : attrs) SetAttr(env, description, attr);
  return Finish(env, graph, description, shape);
}

napi_value AddConst(napi_env env, napi_value graph_value, napi_value dtype, napi_value shape_value,
                    napi_value values) {
  Graph* graph = GraphOf(env, graph_value);
  if (graph == nullptr) return nullptr;
  const auto type = static_cast<TF_DataType>(Int64Of(env, dtype));
  TF_Tensor* tensor = CopyToTensor(env, type, ShapeOf(env, shape_value), values);
  if (tensor == nullptr) {
    napi_throw_error(env, nullptr, "a constant's values do not fit its shape and type");
    return nullptr;
  }
  TF_OperationDescription* op = TF_NewOperation(graph->graph, "Const", NewName(*graph, "Const").c_str());
  tfnodejs::TF_AutoStatus status;
  TF_SetAttrType(op, "dtype", type);
  TF_SetAttrTensor(op, "value", tensor, status.status);
  TF_DeleteTensor(tensor);
  if (Failed(env, status.status)) return nullptr;
  return Finish(env, graph, op, nullptr);
}

napi_value RegisterFunction(napi_env env, TFE_Context* context, napi_value name_value, napi_value graph_value,
                            napi_value body_value, napi_value inputs_value, napi_value outputs_value,
                            napi_value controls_value, napi_value xla) {
  Graph* graph = GraphOf(env, graph_value);
  if (graph == nullptr) return nullptr;
  std::vector<const TF_Operation*> body, controls;
  std::vector<TF_Output> inputs, outputs;
  napi_valuetype body_type;
  napi_typeof(env, body_value, &body_type);
  const bool whole = body_type == napi_null;
  if (!whole && !OpsOf(env, *graph, Int32sOf(env, body_value), &body)) return nullptr;
  if (!OutputsOf(env, *graph, Int32sOf(env, inputs_value), &inputs)) return nullptr;
  if (!OutputsOf(env, *graph, Int32sOf(env, outputs_value), &outputs)) return nullptr;
  if (!OpsOf(env, *graph, Int32sOf(env, controls_value), &controls)) return nullptr;

  const std::string name = StringOf(env, name_value);
  tfnodejs::TF_AutoStatus status;
  TF_Function* function = TF_GraphToFunctionWithControlOutputs(
      graph->graph, name.c_str(), 0, whole ? -1 : static_cast<int>(body.size()), whole ? nullptr : body.data(),
      static_cast<int>(inputs.size()), inputs.data(), static_cast<int>(outputs.size()), outputs.data(), nullptr,
      static_cast<int>(controls.size()), controls.data(), nullptr, nullptr, nullptr, status.status);
  if (TF_GetCode(status.status) == TF_OK && BoolOf(env, xla)) {
    const char yes[] = {0x28, 0x01};  // AttrValue{b: true}, serialized
    TF_FunctionSetAttrValueProto(function, "_XlaMustCompile", yes, sizeof yes, status.status);
  }
  if (TF_GetCode(status.status) == TF_OK) TFE_ContextAddFunction(context, function, status.status);
  if (function != nullptr) TF_DeleteFunction(function);
  Failed(env, status.status);
  return nullptr;
}

napi_value RemoveFunction(napi_env env, TFE_Context* context, napi_value name) {
  tfnodejs::TF_AutoStatus status;
  TFE_ContextRemoveFunction(context, StringOf(env, name).c_str(), status.status);
  Failed(env, status.status);
  return nullptr;
}

}  // namespace lower_bound
