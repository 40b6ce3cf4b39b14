// Rule 7 of docs/reference/manifest.md: the settings of a model that go together.
#pragma once

#include "json.hpp"

namespace bst::detail {

// What models of other libraries have.
inline void judge_imported(const Field& model, Texts& offences) {
  const auto is = [&](const char* name, const char* value) { return model.at(name).text() == value; };
  const auto size = [&](const char* name) { return model.at(name).array().size(); };
  const auto of_candidates = size("candidate_features"), activations = size("head_activations");
  const bool has_tables = of_candidates || is("candidate_vectors", "own") || is("unknown_items", "row");
  const bool has_sequences = size("sequences") > 0;
  if (is("task", "next_item") && (has_tables || has_sequences || is("longer_histories", "oldest")))
    offences.push_back(
        "candidate_features, candidate_vectors, unknown_items, longer_histories and sequences are of click models");
  if ((has_tables || has_sequences) && (size("item_features") || size("item_numbers")))
    offences.push_back("a model with features, vectors or rows of other libraries has item features beside them");
  if (of_candidates && of_candidates != size("event_features"))
    offences.push_back("there is not one of candidate_features for each of event_features");
  if (activations != 1 && activations != size("head_widths"))
    offences.push_back("head_activations are neither 1 nor as many as head_widths");
}

inline void judge_model(const Field& model, Texts& offences) {
  if (model.at("dim").integer() % model.at("num_heads").integer())
    offences.push_back("model.num_heads does not divide model.dim");
  for (const auto& sequence : model.at("sequences").list())
    if (sequence.at("dim").integer() % model.at("num_heads").integer())
      offences.push_back("model.num_heads does not divide the dim of " + sequence.at("name").text());
  const auto is = [&](const char* name, const char* value) { return model.at(name).text() == value; };
  const bool tied = model.at("tied_output").flag(), clicks = is("task", "click");
  if (model.at("head_widths").array().empty() && !tied && !clicks)
    offences.push_back("a model without head_widths needs tied_output");
  if (clicks && (tied || is("pooling", "last") || is("padding", "counted")))
    offences.push_back("a click model pools by target, mean or sum, ignores padding, and has no tied_output");
  if (!clicks && is("pooling", "target"))
    offences.push_back("pooling is target, and only a click model has a target inside");
  if (is("padding", "counted") &&
      !(is("pooling", "mean") && is("places", "newest") && is("event_times", "none") && is("mask", "causal")))
    offences.push_back(
        "a model that counts padding is causal, pools by mean, counts places from the newest, and reads no times");
  for (const auto* name : {"feature_dim", "place_dim"})
    if (!model.at(name).null()) offences.push_back(std::string(name) + " is not null, and fields of a bundle are added");
  judge_imported(model, offences);
}

}  // namespace bst::detail
