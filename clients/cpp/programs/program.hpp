// The whole program but for its runtime: one line of JSON on stdout; exit code 0 done, 1 a check failed, 2
// bad input, with one line on stderr with 1 and 2.
#pragma once

#include <bst/verify.hpp>
#include <iostream>

#include "arguments.hpp"
#include "bench.hpp"

namespace bst {

inline Json to_json(const Ids& ids) {
  Json values = Json::array();
  for (const auto& id : ids) std::visit([&](const auto& value) { values.push_back(value); }, id);
  return values;
}

inline Json to_json(const Report& report) {
  Json verdicts = Json::array();
  for (const auto& one : report.verdicts)
    verdicts.push_back({{"format", one.format},
                        {"signature", one.signature},
                        {"cases", one.cases},
                        {"rows", one.rows},
                        {"max_error", one.max_error ? Json(*one.max_error) : Json()},
                        {"swaps", one.swaps}});
  return {{"ok", report.failure.empty()},
          {"failure", report.failure.empty() ? Json() : Json(report.failure)},
          {"verdicts", verdicts},
          {"warnings", report.warnings}};
}

inline Json recommend(const Bundle& bundle, Runtime& runtime, const Arguments& arguments) {
  const auto request = to_request(arguments, bundle.manifest);
  const Recommender recommender(bundle, runtime, {arguments.format, 0});
  const auto answer = recommender.recommend(request.history, request.context, request.events, request.k);
  Json found{{"item_ids", to_json(answer.item_ids)}, {"scores", answer.scores}};
  if (!answer.names.empty()) {
    found["names"] = Json::array();
    for (const auto& name : answer.names) found["names"].push_back(name.empty() ? Json() : Json(name));
  }
  return found;
}

inline Json score(const Bundle& bundle, Runtime& runtime, const Arguments& arguments) {
  if (arguments.candidates.empty())
    throw InputError("--candidates names no id; give such as --candidates 1,2");
  const auto request = to_request(arguments, bundle.manifest);
  const Scorer scorer(bundle, runtime, {arguments.format, 0});
  const auto answer =
      scorer.score_candidates(request.candidates, request.history, request.context, request.events,
                              request.candidate_features, request.sequences);
  Json scores = Json::array();
  for (const float score : answer.scores) scores.push_back(std::isfinite(score) ? Json(score) : Json());
  Json found{{"candidates", to_json(request.candidates)}, {"scores", scores}};
  if (!answer.probabilities.empty()) found["probabilities"] = answer.probabilities;
  return found;
}

inline Json answer(const std::string& client, const Arguments& arguments, Runtime& runtime) {
  const Bundle bundle(arguments.bundle);
  if (arguments.command == "recommend") return recommend(bundle, runtime, arguments);
  if (arguments.command == "score") return score(bundle, runtime, arguments);
  if (arguments.command == "verify") return to_json(verify(bundle, runtime, arguments.format));
  const auto measure = bundle.manifest.task == "click" ? bench<Scorer> : bench<Recommender>;
  return measure(bundle, runtime, arguments.format, client, arguments.golden_case, arguments.calls);
}

// One line of JSON. Bytes that are not UTF-8, such as those of a quoted path, are replaced.
inline std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline int refused(const std::string& message, int code) {
  const auto readable = Json::parse(to_line(first_line(message))).get<std::string>();
  std::cerr << "error: " << readable << '\n';
  return code;
}

// `client` is the name of the program in its output.
template <typename RuntimeOfProgram>
int run_program(const std::string& client, int count, char** words) {
  try {
    RuntimeOfProgram runtime;
    const auto report = answer(client, parse_arguments({words + 1, words + count}), runtime);
    if (!(std::cout << to_line(report) << std::endl))
      return refused("the answer cannot be written to stdout", 2);
    return report.value("ok", true) ? 0 : refused(report["failure"], 1);
  } catch (const CheckError& error) {
    return refused(error.what(), 1);
  } catch (const std::exception& error) {
    return refused(error.what(), 2);
  }
}

}  // namespace bst
