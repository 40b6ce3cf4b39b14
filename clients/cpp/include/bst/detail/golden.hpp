// Golden vectors: recorded calls, inputs and outputs.
#pragma once

#include <cmath>
#include <limits>

#include "../bundle.hpp"

namespace bst {

// `outputs` also hold further arguments of the comparison: `largest_score` and `runner_up`, one a row.
struct GoldenCase {
  std::string name;
  Tensors inputs, outputs;
};

namespace detail {

// What stands for the floats that JSON lacks. An answer has no NaN and no infinity.
using Names = std::map<Json, float>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline const Names kOfInputs{{"NaN", std::nanf("")}, {"Infinity", kInfinity}, {"-Infinity", -kInfinity}};
inline const Names kOfOutputs{{nullptr, -kInfinity}};

// An element of a golden vector.
inline void append(const Json& value, Tensor& tensor, const Names& names, const std::string& name) {
  const auto refuse = [&]() { throw FieldError(name + " holds " + value.dump() + ", no " + tensor.dtype()); };
  if (auto* ints = std::get_if<Ints>(&tensor.values)) {
    if (!is_integer(value)) refuse();
    ints->push_back(value.get<int64_t>());
  } else if (auto* texts = std::get_if<Texts>(&tensor.values)) {
    if (!value.is_string()) refuse();
    texts->push_back(value.get<std::string>());
  } else {
    const auto named = value.is_number() ? names.end() : names.find(value);
    if (!value.is_number() && named == names.end()) refuse();
    std::get<Floats>(tensor.values).push_back(value.is_number() ? value.get<float>() : named->second);
  }
}

// Append what is nested below an axis; every list of an axis is as long as its first one.
inline void append_axis(const Json& nested, size_t axis, Tensor& tensor, const Names& names,
                        const std::string& name) {
  if (axis == tensor.shape.size()) return append(nested, tensor, names, name);
  if (!nested.is_array() || int64_t(nested.size()) != tensor.shape[axis])
    throw FieldError(name + " has rows of different lengths");
  for (const auto& inner : nested) append_axis(inner, axis + 1, tensor, names, name);
}

// Flatten nested lists of any depth; whether the shape is the one of a signature, its reader says.
inline Tensor to_tensor(const Field& fields, const std::string& name, const std::string& dtype,
                        const Names& names) {
  Tensor tensor{{}, Ints()};
  if (dtype == "string") tensor.values = Texts();
  if (dtype == "float32") tensor.values = Floats();
  const auto& nested = fields.at(name).json();
  for (const Json* level = &nested; level->is_array(); level = &level->front()) {
    tensor.shape.push_back(int64_t(level->size()));
    if (level->empty()) break;
  }
  append_axis(nested, 0, tensor, names, name);
  return tensor;
}

inline GoldenCase read_golden_case(const Field& field, const Signature& signature) {
  GoldenCase golden{field.at("name").text(), {}, {}};
  const auto inputs = field.at("inputs"), outputs = field.at("outputs");
  for (const auto& spec : signature.inputs)
    golden.inputs[spec.name] = to_tensor(inputs, spec.name, spec.dtype, kOfInputs);
  for (const auto& spec : signature.outputs)
    golden.outputs[spec.name] = to_tensor(outputs, spec.name, spec.dtype, kOfOutputs);
  const auto shape = golden.outputs.at(signature.outputs.back().name).shape;
  if (shape.empty()) outputs.refuse("holds no rows");
  for (const auto* name : {"runner_up", "largest_score"})
    if (outputs.json().contains(name)) {
      golden.outputs[name] = to_tensor(outputs, name, "float32", kOfOutputs);
      if (golden.outputs[name].shape != Ints{shape[0]}) outputs.at(name).refuse("is not one number a row");
    }
  return golden;
}

}  // namespace detail

inline fs::path golden_file(const Bundle& bundle, const Format& format, const Signature& signature) {
  return bundle.path / format.golden / (signature.name + ".json");
}

// Throws InputError if the file is missing or is no file of golden vectors.
inline std::vector<GoldenCase> read_golden(const Bundle& bundle, const Format& format,
                                           const Signature& signature) {
  return read_file(golden_file(bundle, format, signature), "a file of golden vectors", [&](const Json& json) {
    std::vector<GoldenCase> golden;
    for (const auto& one : Field(json).at("cases").list())
      golden.push_back(detail::read_golden_case(one, signature));
    return golden;
  });
}

}  // namespace bst
