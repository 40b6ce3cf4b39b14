// The request for one user, in raw ids and values.
#pragma once

#include <cmath>

#include "bundle.hpp"

namespace bst {

// Values of the request by the name of their input: categories, numbers, and `request_time`. One that is left
// out is not known.
using Context = std::map<std::string, Value>;

// Values of the events by the name of their input, one for each item of the history: categories, and
// `event_time`. Likewise.
using Events = std::map<std::string, std::vector<Value>>;

// Values of the candidates by the name of their input, one for each of them. Likewise.
using CandidateFeatures = std::map<std::string, std::vector<Value>>;

// The other sequences of items than the history by the name of their input, oldest first, as long as each is.
// One that is left out is empty.
using Sequences = std::map<std::string, Ids>;

struct Request {
  Ids history;  // oldest first
  Context context;
  Events events;
  Ids candidates;
  std::optional<int64_t> k;
  CandidateFeatures candidate_features;
  Sequences sequences;
};

// A value as a person reads it, quoted if it is text.
inline std::string to_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return "'" + *text + "'";
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  const auto* number = std::get_if<double>(&value);
  if (!number) return "nothing";
  return std::isfinite(*number) ? Json(*number).dump() : std::to_string(*number);
}

}  // namespace bst
