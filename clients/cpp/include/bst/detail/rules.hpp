// Rules 4 to 9 of docs/reference/manifest.md: conditions beyond the types of the fields.
#pragma once

#include <algorithm>
#include <set>

#include "../manifest.hpp"
#include "files.hpp"
#include "model_rules.hpp"

namespace bst::detail {

constexpr double kTolerance = 1e-5;

inline bool is_identifier(const std::string& name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_part = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), is_part);
}

inline std::set<std::string> named_files(const Manifest& manifest, const Field& root) {
  std::set<std::string> named{root.at("weights").text()};
  for (const auto& format : manifest.formats)
    for (const auto& [name, path] : format.entries) named.insert(path);
  if (const auto layer = root.at("output_layer"); !layer.null())
    for (const auto* part : {"weights", "biases"}) named.insert(layer.at(part).at("path").text());
  return named;
}

inline void judge_files(const Manifest& manifest, const Field& root, Texts& offences) {
  std::set<std::string> listed;
  for (const auto& record : manifest.files) {
    if (!listed.insert(record.path).second) offences.push_back(record.path + " is listed twice");
    if (!is_inside(record.path)) offences.push_back(record.path + " leads out of the bundle");
  }
  for (const auto& path : named_files(manifest, root))
    if (!listed.count(path)) offences.push_back(path + " is not among its files");
  for (const auto& format : manifest.formats)
    if (format.golden.substr(0, format.golden.find('/')) != "golden" || !is_inside(format.golden))
      offences.push_back(format.golden + " is no place for golden vectors");
  if (listed.count("manifest.json")) offences.push_back("manifest.json lists itself");
}

inline void judge_formats(const Manifest& manifest, Texts& offences) {
  bool whole = !manifest.formats.empty();
  std::set<std::string> names;
  std::set<std::pair<std::string, std::string>> described;
  for (const auto& signature : manifest.signatures) described.emplace(signature.name, signature.ids);
  for (const auto& format : manifest.formats) {
    whole = whole && !format.entries.empty();
    if (!names.insert(format.name).second) offences.push_back("format " + format.name + " is there twice");
    for (const auto& [name, path] : format.entries)
      if (!described.count({name, format.ids}))
        offences.push_back(format.name + " has " + name +
                           ", which is not among its signatures at the level '" + format.ids + "'");
  }
  if (!whole) offences.push_back("it holds no format or no signature");
}

// Whether rows of ids go in, with tensors beside them, and rows come out: numbers, with ids or probabilities
// before them or without.
inline bool is_of_ids(const Signature& signature) {
  const auto& [name, ids, inputs, outputs, max_k] = signature;
  bool fits = !inputs.empty() && (outputs.size() == 1 || outputs.size() == 2);
  fits = fits && outputs.back().dtype == "float32";
  const auto goes_before = [](const TensorSpec& spec) {
    return (spec.dtype == "float32") == (spec.name == kProbabilities);
  };
  fits = fits && (outputs.size() == 1 || goes_before(outputs[0]));
  for (const auto& spec : outputs) fits = fits && spec.shape.size() == 2;
  for (const auto& spec : inputs)
    fits = fits && spec.shape.size() >= 1 && spec.shape.size() <= 3;
  fits = fits && inputs[0].dtype != "float32" && inputs[0].shape.size() == 2;
  for (const auto* specs : {&inputs, &outputs})
    for (const auto& spec : *specs)
      for (const auto& axis : spec.shape) fits = fits && (axis.fixed() ? axis.size >= 1 : true);
  return fits && max_k.has_value() == (signature.input("k") != nullptr);
}

inline void judge_signatures(const Manifest& manifest, Texts& offences) {
  std::set<std::pair<std::string, std::string>> known;
  for (const auto& signature : manifest.signatures) {
    if (!known.emplace(signature.name, signature.ids).second)
      offences.push_back("signature " + signature.name + " is there twice at the level '" + signature.ids +
                         "'");
    if (!is_of_ids(signature)) offences.push_back("signature " + signature.name + " is no function of ids");
    Texts names{signature.name};
    for (const auto& spec : signature.inputs) names.push_back(spec.name);
    for (const auto& name : names)
      if (!is_identifier(name) || std::count(names.begin(), names.end(), name) > 1)
        offences.push_back("a signature with '" + name + "' as a name cannot be called");
  }
}

// Each name is an input of its own; times and sequences are among them.
inline void judge_input_names(const Manifest& manifest, Texts& offences) {
  Texts names = manifest.sequences;
  for (const auto& input : manifest.inputs) names.push_back(input.name);
  for (const auto& name : names)
    if (!is_identifier(name) || std::count(names.begin(), names.end(), name) > 1)
      offences.push_back("'" + name + "' cannot be the name of an input");
}

inline void judge_vocabularies(const Field& root, Texts& offences) {
  const auto model = root.at("model");
  std::vector<std::pair<Field, int64_t>> counted{{root.at("items"), model.at("num_items").integer()}};
  for (const auto& [group, features] :
       {std::pair("context", "context"), std::pair("events", "event_features"),
        std::pair("candidate_features", "candidate_features")}) {
    const auto vocabularies = root.at(group);
    Texts names;
    for (const auto& feature : model.at(features).list())
      if (const auto name = names.emplace_back(feature.at("name").text()); vocabularies.json().contains(name))
        counted.emplace_back(vocabularies.at(name), feature.at("num_categories").integer());
    if (vocabularies.keys() != names)
      offences.push_back(std::string(group) + " is " + join(vocabularies.keys(), ", ") + ", of the model " +
                         join(names, ", "));
  }
  for (const auto& [facts, count] : counted) {
    if (facts.at("count").integer() != count)
      offences.push_back("a vocabulary counts " + facts.at("count").json().dump() + ", the model " +
                         std::to_string(count));
    if ((facts.at("dtype").text() == "string") != facts.at("padding").is_text())
      offences.push_back("a vocabulary of " + facts.at("dtype").text() + " is padded with " +
                         facts.at("padding").json().dump());
  }
}

// The output layer is mapped as it is stated: of this model, and within its file.
inline void judge_place(const Field& place, const Json& shape, const Manifest& manifest, Texts& offences) {
  const auto path = place.at("path").text();
  int64_t bytes = 4, held = 0;
  for (const auto& size : shape) bytes *= size.get<int64_t>();
  for (const auto& record : manifest.files)
    if (record.path == path) held = record.bytes;
  const auto offset = place.at("offset").integer();
  if (place.at("shape").json() != shape)
    offences.push_back("an output layer of " + place.at("shape").json().dump() +
                       " is not that of the model, " + shape.dump());
  else if (offset < 0 || offset > held || bytes > held - offset)
    offences.push_back(path + " ends before the output layer does");
}

inline void judge_output_layer(const Manifest& manifest, const Field& root, Texts& offences) {
  const auto layer = root.at("output_layer"), model = root.at("model");
  if (layer.null()) return;
  if (manifest.task == "click")
    return offences.push_back("there is an output_layer, and a model of task 'click' has none");
  const auto first_row = layer.at("first_row").integer();
  if (first_row != 0 && first_row != 1)
    return offences.push_back("output_layer.first_row is neither 0 nor 1");
  const auto rows = model.at("num_items").integer() + first_row;
  const auto& widths = model.at("head_widths").array();
  const bool tied = model.at("tied_output").flag() || widths.empty();
  const auto width = tied ? model.at("dim").integer() : widths.back().get<int64_t>();
  judge_place(layer.at("weights"), {rows, width}, manifest, offences);
  judge_place(layer.at("biases"), Json::array({rows}), manifest, offences);
  for (const auto* name : {"all_scores", "encode_user"})
    if (!manifest.find_signature(name, root.at("settings").at("ids").text()))
      offences.push_back(std::string("the output layer lacks ") + name + ", which proves it");
}

// Every offence of a manifest against the rules, once.
inline Texts offences_of(const Manifest& manifest, const Field& root) {
  Texts offences;
  judge_files(manifest, root, offences);
  judge_formats(manifest, offences);
  judge_signatures(manifest, offences);
  judge_vocabularies(root, offences);
  judge_input_names(manifest, offences);
  judge_model(root.at("model"), offences);
  judge_output_layer(manifest, root, offences);
  if (!(manifest.tolerance > 0 && manifest.tolerance <= kTolerance))
    offences.push_back("tolerance is not above 0 and at most 1e-05");
  Texts each;
  for (const auto& offence : offences)
    if (std::find(each.begin(), each.end(), offence) == each.end()) each.push_back(offence);
  return each;
}

}  // namespace bst::detail
