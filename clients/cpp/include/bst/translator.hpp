// The way from the raw ids and values of a request to the tensors of a signature, and back.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "request.hpp"

namespace bst {

// Between raw ids and the tensors of a signature; in a format at index level they are looked up.
class Translator {
 public:
  Translator(const Bundle& bundle, const Signature& signature)
      : signature_(signature), by_index_(signature.ids == "index"), manifest_(bundle.manifest) {
    if (by_index_ || items().named) vocabularies_ = bundle.vocabularies();
  }

  // The names of items, where the bundle has them.
  Texts names(const Ids& ids) const {
    Texts found;
    if (items().named)
      for (const auto& id : ids) found.push_back(vocabularies_->items.name(id));
    return found;
  }

  // The inputs of the signature, one row. Throws InputError for values of another kind, names that are not of
  // the model, and values that are not as many as the history or the candidates.
  Tensors inputs(const Request& request) const {
    refuse_strangers("context", request.context, Input::request);
    refuse_strangers("events", request.events, Input::event);
    refuse_strangers("candidate_features", request.candidate_features, Input::candidate);
    for (const auto& [name, ids] : request.sequences)
      if (!manifest_.has_sequence(name))
        throw InputError("sequences '" + name +
                         "' is no feature of the model; known: " + manifest_.sequence_names());
    Tensors inputs;
    for (const auto& spec : signature_.inputs) {
      if (spec.name == "history" || spec.name == "items")
        inputs[spec.name] = history_row(request.history, spec.name);
      else if (spec.name == "candidates")
        inputs[spec.name] = row(request.candidates, spec.name);
      else if (spec.name == "k")
        inputs["k"] = {{1}, Ints{request.k.value_or(std::min<int64_t>(10, *signature_.max_k))}};
      else if (manifest_.has_sequence(spec.name))
        inputs[spec.name] = history_row(sequence_of(request, spec.name), spec.name);
      else if (const auto columns = columns_of(spec); !columns.empty())
        inputs[spec.name] = beside(spec, columns, request);
    }
    return inputs;
  }

  // The raw ids in the first `count` places of an answer.
  Ids ids(const Tensor& answer, size_t count) const {
    if (answer.size() < count)
      throw CheckError(signature_.name + " gives fewer ids than scores; export again");
    Ids found;
    for (size_t place = 0; place < count; ++place)
      found.push_back(by_index_ ? vocabularies_->items.id(answer.ints()[place]) : answer.id(place));
    return found;
  }

 private:
  using Columns = std::vector<const Input*>;

  const VocabularyFacts& items() const { return manifest_.items; }

  // The inputs of the model in a tensor: one of them, or by index all of a group.
  Columns columns_of(const TensorSpec& spec) const {
    Columns columns;
    for (const auto& input : manifest_.inputs)
      if (spec.name == (by_index_ ? input.group : input.name)) columns.push_back(&input);
    return columns;
  }

  static std::string not_an_id(const VocabularyFacts& facts) {
    return std::string(" is not an id of this model; its ids are ") +
           (facts.dtype == "string" ? "text" : "integers of 64 bits");
  }

  Tensor row(const Ids& ids, const std::string& where) const {
    Tensor tensor{{1, int64_t(ids.size())}, Ints()};
    if (!by_index_ && items().dtype == "string") tensor.values = Texts();
    for (const auto& id : ids) {
      if (id.index() != items().padding.index())
        throw InputError(where + ": " + to_text(id) + not_an_id(items()));
      // An index out of range is that of an item that the model does not know.
      if (by_index_ && manifest_.unknown_items && id != items().padding && !vocabularies_->items.index(id))
        std::get<Ints>(tensor.values).push_back(-1);
      else
        append(id, by_index_ ? &vocabularies_->items : nullptr, tensor);
    }
    return tensor;
  }

  // An empty history is one slot of padding.
  Tensor history_row(const Ids& ids, const std::string& where) const {
    return row(ids.empty() ? Ids{items().padding} : ids, where);
  }

  static Ids sequence_of(const Request& request, const std::string& name) {
    const auto found = request.sequences.find(name);
    return found == request.sequences.end() ? Ids() : found->second;
  }

  // A tensor of values beside the history. Where it has a last axis, that holds the columns.
  Tensor beside(const TensorSpec& spec, const Columns& columns, const Request& request) const {
    std::vector<std::vector<Value>> values;
    for (const auto* input : columns) values.push_back(values_of(*input, request));
    Tensor tensor{{1}, Ints()};
    if (columns[0]->of != Input::request) tensor.shape.push_back(int64_t(values[0].size()));
    if (spec.shape.size() > tensor.shape.size()) tensor.shape.push_back(int64_t(columns.size()));
    if (columns[0]->kind == Input::number)
      tensor.values = Floats();
    else if (!by_index_ && columns[0]->facts.dtype == "string")
      tensor.values = Texts();
    for (size_t place = 0; place < values[0].size(); ++place)
      for (size_t column = 0; column < columns.size(); ++column)
        append(values[column][place], *columns[column], tensor);
    return tensor;
  }

  // One value, or one for each slot of the history, or for each candidate.
  static std::vector<Value> values_of(const Input& input, const Request& request) {
    if (input.of == Input::request) {
      const auto found = request.context.find(input.name);
      return {found == request.context.end() ? Value() : found->second};
    }
    const bool per_event = input.of == Input::event;
    const auto& values = per_event ? request.events : request.candidate_features;
    const auto found = values.find(input.name);
    const auto length = (per_event ? request.history : request.candidates).size();
    if (found != values.end() && found->second.size() != length)
      throw InputError((per_event ? "events '" : "candidate_features '") + input.name + "' has " +
                       std::to_string(found->second.size()) + " values, and the " +
                       (per_event ? "history " : "candidates ") + std::to_string(length) +
                       "; give one for each item");
    return found == values.end() || length == 0 ? std::vector<Value>(std::max<size_t>(length, 1)) : found->second;
  }

  void append(const Value& value, const Input& input, Tensor& tensor) const {
    if (input.kind == Input::number)
      return std::get<Floats>(tensor.values).push_back(number(value, input.name));
    const auto* text = std::get_if<std::string>(&value);
    const auto* whole = std::get_if<int64_t>(&value);
    const bool is_known = value.index() != 0;
    if (is_known && !(input.facts.dtype == "string" ? bool(text) : bool(whole)))
      throw InputError(input.name + ": " + to_text(value) +
                       (input.kind == Input::seconds
                            ? " is no time in seconds since 1970; leave it out where it is not known"
                            : not_an_id(input.facts)));
    const bool is_looked_up = by_index_ && input.kind == Input::category;
    append(text ? Id(*text) : whole ? Id(*whole) : input.facts.padding,
           is_looked_up ? &vocabularies_->inputs.at(input.name) : nullptr, tensor);
  }

  static void append(const Id& id, const Vocabulary* vocabulary, Tensor& tensor) {
    if (vocabulary)
      std::get<Ints>(tensor.values).push_back(vocabulary->index(id));
    else if (const auto* text = std::get_if<std::string>(&id))
      std::get<Texts>(tensor.values).push_back(*text);
    else
      std::get<Ints>(tensor.values).push_back(std::get<int64_t>(id));
  }

  float number(const Value& value, const std::string& name) const {
    if (std::holds_alternative<std::string>(value))
      throw InputError(name + ": " + to_text(value) + " is no number; leave it out where it is not known");
    if (const auto* whole = std::get_if<int64_t>(&value)) return float(*whole);
    const auto* number = std::get_if<double>(&value);
    if (!number) return std::nanf("");
    if (std::isfinite(*number) && std::abs(*number) > double(std::numeric_limits<float>::max()))
      throw InputError(name + " holds " + to_text(value) +
                       ", beyond float32 (NaN where one is not known); " + to_text(signature_));
    return float(*number);
  }

  template <typename Values>
  void refuse_strangers(const std::string& argument, const Values& values, Input::Of of) const {
    Texts strangers;
    for (const auto& [name, value] : values)
      if (!manifest_.input(name, of)) strangers.push_back("'" + name + "'");
    if (!strangers.empty())
      throw InputError(argument + " " + join(strangers, ", ") + " is no feature of the model; known: " +
                       manifest_.input_names(of));
  }

  const Signature signature_;
  const bool by_index_;
  const Manifest manifest_;
  std::shared_ptr<const Vocabularies> vocabularies_;  // null where nothing is looked up here
};

}  // namespace bst
