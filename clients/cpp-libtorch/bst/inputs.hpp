// From a command line or a golden vector to the inputs of a signature, and back to raw ids.
#pragma once

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "bundle.hpp"

namespace bst {

// One vocabulary of vocabulary.json. Index 1 is its first id; index 0 stands for every id that it does not
// hold.
class Vocabulary {
 public:
  explicit Vocabulary(const Json& value) : ids_(value.at("ids")) {
    for (size_t place = 0; place < ids_.size(); ++place) indices_[ids_[place].dump()] = int64_t(place) + 1;
  }
  int64_t index(const Json& id) const {
    const auto found = indices_.find(id.dump());
    return found == indices_.end() ? 0 : found->second;
  }
  const Json& id(int64_t index) const { return ids_.at(size_t(index) - 1); }

 private:
  Json ids_;
  std::unordered_map<std::string, int64_t> indices_;
};

// What a person asks about one user.
struct Request {
  Texts history, candidates;
  std::map<std::string, std::string> context;
  std::optional<int64_t> k;
};

// An id as the data has it: a number of 64 bits or text.
inline Json typed_id(const std::string& text, const Json& facts, const std::string& option) {
  if (facts.at("dtype") == "string") {
    try {
      Json(text).dump();
    } catch (const Json::exception&) {
      throw InputError(option + ": an id is not text in UTF-8; give one that is");
    }
    return text;
  }
  try {
    size_t read = 0;
    const int64_t number = std::stoll(text, &read);
    if (read == text.size()) return number;
  } catch (const std::exception&) {  // told below
  }
  throw InputError(option + ": '" + text + "' is not an id of this model; its ids are integers of 64 bits");
}

inline Json typed_ids(const Texts& texts, const Json& facts, const std::string& option) {
  Json ids = Json::array();
  for (const auto& text : texts) ids.push_back(typed_id(text, facts, option));
  return ids;
}

// Flatten nested lists of the shape that `spec` states. null stands for -inf: JSON has no infinity.
inline Tensor to_tensor(const Json& nested, const std::string& dtype, size_t rank) {
  Tensor tensor;
  Json flat = nested;
  for (size_t axis = 0; axis < rank; ++axis) {
    tensor.shape.push_back(int64_t(axis == 0 ? nested.size() : flat.empty() ? 0 : flat[0].size()));
    if (axis == 0) continue;
    Json inner = Json::array();
    for (const auto& row : flat) {
      if (int64_t(row.size()) != tensor.shape.back())
        throw InputError("a golden vector has rows of different lengths");
      for (const auto& value : row) inner.push_back(value);
    }
    flat = std::move(inner);
  }
  if (dtype == "int64") tensor.values = flat.get<Ints>();
  if (dtype == "string") tensor.values = flat.get<Texts>();
  if (dtype == "float32") {
    Floats values;
    for (const auto& value : flat)
      values.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : value.get<float>());
    tensor.values = std::move(values);
  }
  return tensor;
}

// The inputs of `signature` for one user. At index level ids are looked up in vocabulary.json.
inline Tensors to_inputs(const Bundle& bundle, const Signature& signature, const Request& request) {
  const Json &items = bundle.manifest.at("items"), &context = bundle.manifest.at("context");
  Texts known;
  for (const auto& [name, facts] : context.items()) known.push_back(name);
  for (const auto& [name, value] : request.context)
    if (!context.contains(name))
      throw InputError("--context '" + name + "=" + value +
                       "' is not one of NAME=VALUE with a feature of the model, once: " +
                       (known.empty() ? "none" : join(known, ", ")));
  Json history = typed_ids(request.history, items, "--history");
  if (history.empty()) history.push_back(items.at("padding"));
  Json candidates = typed_ids(request.candidates, items, "--candidates");
  std::map<std::string, Json> categories;
  for (const auto& [name, facts] : context.items()) {
    const auto given = request.context.find(name);
    categories[name] = given == request.context.end() ? facts.at("padding")
                                                      : typed_id(given->second, facts, "--context " + name);
  }
  Json values{{"history", Json::array({history})}, {"candidates", Json::array({candidates})}};
  if (signature.ids == "index") {
    const Json tables = read_json(bundle.path / "vocabulary.json", "a bundle");
    const Vocabulary vocabulary(tables.at("items"));
    for (auto* ids : {&history, &candidates})
      for (auto& id : *ids) id = vocabulary.index(id);
    Json row = Json::array();  // in the order of the model's features
    for (const auto& feature : bundle.manifest.at("model").at("context")) {
      const auto name = feature.at("name").get<std::string>();
      row.push_back(Vocabulary(tables.at("context").at(name)).index(categories.at(name)));
    }
    values = {{"items", Json::array({history})},
              {"context", Json::array({row})},
              {"candidates", Json::array({candidates})}};
  } else {
    for (const auto& [name, value] : categories) values[name] = Json::array({value});
  }
  if (signature.max_k)
    values["k"] = Json::array({request.k.value_or(std::min<int64_t>(10, *signature.max_k))});
  Tensors inputs;
  for (const auto& spec : signature.inputs)
    inputs[spec.name] = to_tensor(values.at(spec.name), spec.dtype, spec.shape.size());
  return inputs;
}

// Refuse what does not fit the signature, before a runtime sees it that does not look.
inline void check_inputs(const Signature& signature, const Tensors& inputs) {
  std::map<std::string, int64_t> sizes;
  Texts offences;
  for (const auto& spec : signature.inputs) {
    const auto found = inputs.find(spec.name);
    if (found == inputs.end()) {
      offences.push_back(spec.name + " is missing");
      continue;
    }
    const auto& tensor = found->second;
    int64_t size = 1;
    for (const int64_t length : tensor.shape) size *= length;
    if (tensor.dtype() != spec.dtype)
      offences.push_back(spec.name + " holds " + tensor.dtype() + ", not " + spec.dtype);
    if (tensor.shape.size() != spec.shape.size() || size == 0 || size_t(size) != tensor.size()) {
      offences.push_back(spec.name + " has shape " + to_text(tensor.shape));
      continue;
    }
    for (size_t axis = 0; axis < spec.shape.size(); ++axis) {
      const auto& stated = spec.shape[axis];
      const int64_t length = tensor.shape[axis];
      const int64_t expected =
          stated.name.empty() ? stated.size : sizes.try_emplace(stated.name, length).first->second;
      if (length != expected)
        offences.push_back(spec.name + " has shape " + to_text(tensor.shape) + ", where " +
                           (stated.name.empty() ? "axis " + std::to_string(axis) : stated.name) + " is " +
                           std::to_string(expected));
    }
    if (spec.name == "k" && offences.empty() && (tensor.ints()[0] < 1 || tensor.ints()[0] > *signature.max_k))
      offences.push_back("k is " + tensor.id(0) + ", not between 1 and " + std::to_string(*signature.max_k));
  }
  if (!offences.empty()) throw InputError(join(offences, "; ") + "; " + to_text(signature));
}

// Raw ids of the first `count` places of an answer of `top_k`.
inline Json to_ids(const Bundle& bundle, const Signature& signature, const Tensor& found, size_t count) {
  Json ids = Json::array();
  std::visit([&](const auto& values) { ids = Json(values); }, found.values);
  if (ids.size() < count) throw CheckError(signature.name + " gives fewer ids than scores; export again");
  ids.erase(ids.begin() + count, ids.end());
  if (signature.ids == "index") {
    const Vocabulary vocabulary(read_json(bundle.path / "vocabulary.json", "a bundle").at("items"));
    for (auto& id : ids) id = vocabulary.id(id.get<int64_t>());
  }
  return ids;
}

// A recorded call: inputs, outputs, and what the comparison wants to know besides.
struct GoldenCase {
  std::string name;
  Tensors inputs, outputs;
};

inline std::vector<GoldenCase> read_golden(const Bundle& bundle, const Json& format,
                                           const Signature& signature) {
  const auto path = bundle.path / format.at("golden").get<std::string>() / (signature.name + ".json");
  const Json file = read_json(path, "golden vectors");
  std::vector<GoldenCase> found;
  try {
    for (const auto& one : file.at("cases")) {
      GoldenCase golden{one.at("name"), {}, {}};
      for (const auto& spec : signature.inputs)
        golden.inputs[spec.name] = to_tensor(one.at("inputs").at(spec.name), spec.dtype, spec.shape.size());
      for (const auto& spec : signature.outputs)
        golden.outputs[spec.name] = to_tensor(one.at("outputs").at(spec.name), spec.dtype, spec.shape.size());
      const auto rows = golden.outputs.at(signature.outputs.back().name).shape[0];
      for (const auto* name : {"runner_up", "largest_score"})
        if (const auto& given = one.at("outputs"); given.contains(name)) {
          golden.outputs[name] = to_tensor(given.at(name), "float32", 1);
          if (golden.outputs[name].shape[0] != rows)
            throw InputError(path.string() + ": " + name + " lacks rows");
        }
      found.push_back(std::move(golden));
    }
  } catch (const Json::exception& error) {
    throw InputError(path.string() + " is not a file of golden vectors (" + error.what() + "); export again");
  }
  if (found.empty())
    throw CheckError(bundle.path.string() + ": there is no golden case of " + signature.name +
                     " to replay; export again");
  return found;
}

}  // namespace bst
