// The rule of `bst verify` by which two answers are equal (docs/reference/bundle.md, "When are two
// answers equal?").
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "../signature.hpp"

namespace bst {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr size_t kRanked = 10;  // so many of the best are compared where a signature gives all scores

// The difference of an answer from the expected one; `failure` is empty if they are equal.
struct Comparison {
  double error = 0;
  int64_t swaps = 0;
  std::string failure;
};

// The best places of a row of scores, best first; of equal scores the lower place first.
inline std::vector<size_t> best_places(const float* scores, size_t count, size_t wanted) {
  std::vector<size_t> places(count);
  std::iota(places.begin(), places.end(), size_t{0});
  const auto better = [scores](size_t one, size_t other) {
    return scores[one] != scores[other] ? scores[one] > scores[other] : one < other;
  };
  std::partial_sort(places.begin(), places.begin() + std::min(wanted, count), places.end(), better);
  places.resize(std::min(wanted, count));
  return places;
}

// The ids in the places of each row, with their scores.
struct Ranking {
  Tensor ids;
  Floats scores;
  Floats below;  // of each row, the best score that is not among them
};

inline Ranking ranking(const Signature& signature, const Tensors& outputs) {
  const auto& scores = outputs.at("scores");
  const size_t rows = scores.shape[0], columns = scores.shape[1];
  const auto runner_up = outputs.find("runner_up");
  if (signature.name == "top_k")
    return {outputs.at(signature.outputs[0].name), scores.floats(),
            runner_up != outputs.end() ? runner_up->second.floats() : Floats(rows, kNothing)};
  const size_t width = signature.name == "all_scores" ? std::min(columns, kRanked) : columns;
  Ranking found{{{int64_t(rows), int64_t(width)}, Ints()}, {}, {}};
  auto& ids = std::get<Ints>(found.ids.values);
  for (size_t row = 0; row < rows; ++row) {
    const float* values = scores.floats().data() + row * columns;
    const auto places = best_places(values, columns, width + 1);
    for (size_t place = 0; place < width; ++place) {
      ids.push_back(int64_t(places[place]));
      found.scores.push_back(values[places[place]]);
    }
    found.below.push_back(places.size() > width ? values[places[width]] : float(kNothing));
  }
  return found;
}

// Count the places with another id; describe the first wrong one. `noise` is the largest difference of ties.
inline void compare_rankings(const Ranking& want, const Ranking& got, double noise, Comparison& result) {
  const size_t rows = want.ids.shape[0], width = want.ids.shape[1];
  for (size_t at = 0; at < rows * width; ++at) {
    if (want.ids.id(at) == got.ids.id(at)) continue;
    ++result.swaps;
    const size_t row = at / width, start = row * width;
    const auto here = "row " + std::to_string(row) + " has " + to_text(got.ids.id(at)) + " in place " +
                      std::to_string(at - start + 1) + ", where ";
    if (want.scores[at] == float(kNothing)) {
      result.failure = here + "nothing is left to stand";
      return;
    }
    double score = want.below[row];
    for (size_t other = start; other < start + width; ++other)
      if (want.ids.id(other) == got.ids.id(at)) {
        score = want.scores[other];
        break;
      }
    if (score != want.scores[at] && std::abs(score - want.scores[at]) > noise) {
      result.failure = here + to_text(want.ids.id(at)) + " scores clearly more";
      return;
    }
    for (size_t one = start; one < start + width; ++one)
      for (size_t other = one + 1; other < start + width; ++other)
        if (std::isfinite(want.scores[one]) && std::isfinite(want.scores[other]) &&
            got.ids.id(one) == got.ids.id(other)) {
          result.failure = "row " + std::to_string(row) + " names an id twice";
          return;
        }
  }
}

inline std::string wrong_shape(const Signature& signature, const Tensors& expected, const Tensors& actual) {
  for (const auto& spec : signature.outputs) {
    const auto found = actual.find(spec.name);
    const auto& wanted = expected.at(spec.name).shape;
    if (found == actual.end()) return spec.name + " is missing, not " + to_text(wanted);
    if (found->second.shape != wanted || found->second.dtype() != spec.dtype)
      return spec.name + " is " + to_text(found->second.shape) + ", not " + to_text(wanted);
    if (wanted != expected.at(signature.outputs.back().name).shape)
      return spec.name + " is " + to_text(wanted) + ", unlike its scores";
  }
  return "";
}

// The first row with a probability that is off by more than the tolerance, or NaN; empty if there is none.
inline std::string wrong_probability(const Signature& signature, const Tensors& expected,
                                     const Tensors& actual, double tolerance) {
  if (signature.outputs[0].name != kProbabilities) return "";
  const auto &want = expected.at(kProbabilities).floats(), &got = actual.at(kProbabilities).floats();
  const size_t columns = expected.at(kProbabilities).shape[1];
  for (size_t row = 0; row * columns < want.size(); ++row) {
    double error = 0;
    for (size_t at = row * columns; at < (row + 1) * columns; ++at) {
      const double off = std::abs(double(got[at]) - double(want[at]));
      if (!std::isnan(error) && !(off <= error)) error = off;
    }
    if (error <= tolerance) continue;
    char text[160];
    std::snprintf(text, sizeof text, "row %zu has a probability that is off by %.2e, %.0e is allowed", row,
                  error, tolerance);
    return text;
  }
  return "";
}

inline Comparison compare(const Signature& signature, const Tensors& expected, const Tensors& actual,
                          double tolerance) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (const auto wrong = wrong_shape(signature, expected, actual); !wrong.empty())
    return {kInfinite, 0, wrong};
  const auto& name = signature.outputs.back().name;
  const Tensor &want = expected.at(name), &got = actual.at(name);
  const bool may_be_absent = signature.name == "top_k" || signature.input("candidates");
  const size_t columns = want.shape[1];
  double scale = std::numeric_limits<float>::min(), error = 0;
  if (const auto largest = expected.find("largest_score"); largest != expected.end())
    for (float score : largest->second.floats()) scale = std::max(scale, double(score));
  size_t worst = 0;
  for (size_t at = 0; at < want.size(); ++at) {
    const double wanted = want.floats()[at], found = got.floats()[at];
    if (may_be_absent && wanted == kNothing && found == kNothing) continue;
    const auto row = at / columns;
    if (!std::isfinite(wanted) || !std::isfinite(found))
      return {kInfinite, 0, "NaN or inf in row " + std::to_string(row)};
    scale = std::max(scale, std::abs(wanted));
    if (std::abs(found - wanted) > error) error = std::abs(found - wanted), worst = row;
  }
  Comparison result{error / scale, 0, ""};
  if (result.error > tolerance) {
    char text[160];
    std::snprintf(text, sizeof text, "row %zu is off by %.2e of the largest %s, %.0e is allowed", worst,
                  result.error, name.c_str(), tolerance);
    result.failure = text;
    return result;
  }
  result.failure = wrong_probability(signature, expected, actual, tolerance);
  if (result.failure.empty() && name == "scores")
    compare_rankings(ranking(signature, expected), ranking(signature, actual), 2 * tolerance * scale, result);
  return result;
}

}  // namespace bst
