// The callable faces of a model: inputs and outputs by name, dtype and axes.
#pragma once

#include <optional>

#include "detail/json.hpp"

namespace bst {

// An axis is a fixed size, or a name where any size from 1 up is accepted.
struct Axis {
  int64_t size = -1;
  std::string name;

  bool fixed() const { return name.empty(); }
};

struct TensorSpec {
  std::string name, dtype;
  std::vector<Axis> shape;  // one axis to three
};

// The output of a click model that stands before its scores.
constexpr const char* kProbabilities = "probabilities";

// `ids` is "raw" or "index". Inputs and outputs are in the order of the exported function.
struct Signature {
  std::string name, ids;
  std::vector<TensorSpec> inputs, outputs;
  std::optional<int64_t> max_k;  // where the caller states k, as an input of that name

  const TensorSpec* input(const std::string& wanted) const {
    for (const auto& spec : inputs)
      if (spec.name == wanted) return &spec;
    return nullptr;
  }
};

inline TensorSpec read_tensor_spec(const Field& field) {
  TensorSpec spec{field.at("name").text(), field.at("dtype").text(), {}};
  for (const auto& axis : field.at("shape").list())
    spec.shape.push_back(axis.is_text() ? Axis{-1, axis.text()} : Axis{axis.integer(), ""});
  return spec;
}

inline Signature read_signature(const Field& field) {
  Signature signature{field.at("name").text(), field.at("ids").text(), {}, {}, {}};
  for (const auto& spec : field.at("inputs").list()) signature.inputs.push_back(read_tensor_spec(spec));
  for (const auto& spec : field.at("outputs").list()) signature.outputs.push_back(read_tensor_spec(spec));
  if (!field.at("max_k").null()) signature.max_k = field.at("max_k").integer();
  return signature;
}

inline std::string to_text(const Signature& signature) {
  Texts stated;
  for (const auto& spec : signature.inputs) {
    Texts axes;
    for (const auto& axis : spec.shape)
      axes.push_back(axis.name.empty() ? std::to_string(axis.size) : "'" + axis.name + "'");
    stated.push_back(spec.name + " " + spec.dtype + " [" + join(axes, ", ") + "]");
  }
  return signature.name + " takes " + join(stated, ", ");
}

// The error of an input; empty if there is none. `sizes` are those of the named axes so far.
inline std::string offence_of(const TensorSpec& spec, const Tensor& tensor,
                              std::map<std::string, int64_t>& sizes) {
  int64_t size = 1;
  for (const int64_t length : tensor.shape) size *= length;
  if (tensor.dtype() != spec.dtype) return spec.name + " holds " + tensor.dtype() + ", not " + spec.dtype;
  const auto shaped = spec.name + " has shape " + to_text(tensor.shape);
  if (tensor.shape.size() != spec.shape.size() || size == 0 || size_t(size) != tensor.size()) return shaped;
  for (size_t axis = 0; axis < spec.shape.size(); ++axis) {
    const auto& [fixed, name] = spec.shape[axis];
    const int64_t length = tensor.shape[axis];
    const int64_t expected = name.empty() ? fixed : sizes.try_emplace(name, length).first->second;
    if (length != expected)
      return shaped + ", where " + (name.empty() ? "axis " + std::to_string(axis) : name) + " is " +
             std::to_string(expected);
  }
  return "";
}

// Refuse inputs that do not fit the signature; a runtime may not check them.
// Throws InputError that lists every error.
inline void check_inputs(const Signature& signature, const Tensors& inputs) {
  std::map<std::string, int64_t> sizes;
  Texts offences;
  for (const auto& spec : signature.inputs) {
    const auto found = inputs.find(spec.name);
    auto offence = found == inputs.end() ? spec.name + " is missing" : offence_of(spec, found->second, sizes);
    if (offence.empty() && spec.name == "k")
      if (const auto k = found->second.ints()[0]; k < 1 || k > *signature.max_k)
        offence = "k is " + std::to_string(k) + ", not between 1 and " + std::to_string(*signature.max_k);
    if (!offence.empty()) offences.push_back(offence);
  }
  if (!offences.empty()) throw InputError(join(offences, "; ") + "; " + to_text(signature));
}

}  // namespace bst
