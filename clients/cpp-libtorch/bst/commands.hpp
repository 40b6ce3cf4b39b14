// The four things that a client does with a bundle.
#pragma once

#include <chrono>

#include "runtime.hpp"

namespace bst {

// The format to run, with its files compared with their hashes.
inline const Json& chosen_format(const Bundle& bundle, const Runtime& runtime, const std::string& asked) {
  for (const auto& name : runtime.formats())
    if (const Json* format = bundle.format(name); format && (asked.empty() || asked == name)) {
      std::set<std::string> folders;  // entries share one, and the weights that lie in it
      for (const auto& entry : format->at("entries")) {
        const auto file = entry.at("path").get<std::string>();
        folders.insert(file.substr(0, file.rfind('/') + 1));
      }
      for (const auto& folder : folders) bundle.check_files(folder);
      if (format->at("ids") == "index") bundle.check_files("vocabulary.json");  // ids are looked up here
      refuse_obstacles(bundle, *format, runtime);
      return *format;
    }
  Texts held;
  for (const auto& format : bundle.manifest.at("formats")) held.push_back(format.at("name"));
  throw InputError("of the formats in the bundle (" + join(held, ", ") + ") this client runs " +
                   (asked.empty() ? "none; it knows " : "no " + asked + "; it knows ") +
                   join(runtime.formats(), ", "));
}

inline Json recommend(const Bundle& bundle, const Json& format, Runtime& runtime, const Request& request) {
  const auto signature = bundle.signature("top_k", format.at("ids"));
  if (request.k && !signature.max_k)
    throw InputError("--k " + std::to_string(*request.k) + ": this bundle gives " +
                     std::to_string(signature.outputs[0].shape[1].size) + "; export with --max-k to choose");
  const auto answer = call(*open_session(bundle, format, signature, runtime), signature,
                           to_inputs(bundle, signature, request));
  Floats scores;
  for (const float score : answer.at("scores").floats()) {
    if (!std::isfinite(score)) break;  // nothing is left
    scores.push_back(score);
  }
  return {{"item_ids", to_ids(bundle, signature, answer.at(signature.outputs[0].name), scores.size())},
          {"scores", scores}};
}

inline Json score(const Bundle& bundle, const Json& format, Runtime& runtime, const Request& request) {
  if (request.candidates.empty()) throw InputError("--candidates names no id; give such as --candidates 1,2");
  const auto signature = bundle.signature("score_candidates", format.at("ids"));
  const auto answer = call(*open_session(bundle, format, signature, runtime), signature,
                           to_inputs(bundle, signature, request));
  Json scores = Json::array();
  for (const float score : answer.at("scores").floats())
    scores.push_back(std::isfinite(score) ? Json(score) : Json());
  return {{"candidates", typed_ids(request.candidates, bundle.manifest.at("items"), "--candidates")},
          {"scores", scores}};
}

// Replay the golden calls of one signature; the worst of them is told.
inline Json replay(const Bundle& bundle, const Json& format, const Signature& signature, Runtime& runtime) {
  const auto golden = read_golden(bundle, format, signature);
  const auto session = open_session(bundle, format, signature, runtime);
  Comparison worst{-1, 0, ""};
  size_t where = 0, failed = 0;
  int64_t rows = 0, swaps = 0;
  for (size_t place = 0; place < golden.size(); ++place) {
    const auto& one = golden[place];
    const auto found =
        compare(signature, one.outputs, call(*session, signature, one.inputs), bundle.tolerance());
    rows += one.outputs.at(signature.outputs.back().name).shape[0];
    swaps += found.swaps;
    failed += !found.failure.empty();
    if (std::pair(!found.failure.empty(), found.error) > std::pair(!worst.failure.empty(), worst.error))
      worst = found, where = place;
  }
  if (failed)
    throw CheckError(bundle.path.string() + ": " + format.at("name").get<std::string>() + ", " +
                     signature.name + ", golden case '" + golden[where].name + "': " + worst.failure + " (" +
                     std::to_string(failed) + " of " + std::to_string(golden.size()) + " calls fail)");
  return {{"format", format.at("name")}, {"signature", signature.name},
          {"cases", golden.size()},      {"rows", rows},
          {"max_error", worst.error},    {"swaps", swaps}};
}

// The verdict of `bst verify --json`, for the formats that this runtime runs, or for the one that was asked
// for.
inline Json verify(const Bundle& bundle, Runtime& runtime, const std::string& asked) {
  Json verdict{{"ok", true}, {"failure", nullptr}, {"verdicts", Json::array()}, {"warnings", Json::array()}};
  try {
    bundle.check_files();
    for (const auto& name : runtime.formats()) {
      const Json* format = bundle.format(name);
      if (!format || (!asked.empty() && asked != name)) continue;
      refuse_obstacles(bundle, *format, runtime);
      for (const auto& remark : format->at("needs").at("remarks"))
        verdict["warnings"].push_back(name + ": " + remark.get<std::string>());
      for (const auto& [signature, entry] : format->at("entries").items())
        verdict["verdicts"].push_back(
            replay(bundle, *format, bundle.signature(signature, format->at("ids")), runtime));
    }
    if (verdict["verdicts"].empty()) chosen_format(bundle, runtime, asked);  // says what is there
  } catch (const CheckError& error) {
    verdict["ok"] = false;
    verdict["failure"] = error.what();
  }
  return verdict;
}

// Time calls for one user on one thread, from ids to ids and scores.
inline Json bench(const Bundle& bundle, const Json& format, Runtime& runtime, const std::string& golden_case,
                  int64_t calls) {
  const auto signature = bundle.signature("top_k", format.at("ids"));
  const auto golden = read_golden(bundle, format, signature);
  const auto chosen = std::find_if(golden.begin(), golden.end(),
                                   [&](const GoldenCase& one) { return one.name == golden_case; });
  if (chosen == golden.end())
    throw InputError("--case " + golden_case + " is not among the golden cases of top_k; give such as full");
  const auto session = open_session(bundle, format, signature, runtime, 1);
  std::vector<double> times;
  const int64_t warm_up = std::max<int64_t>(20, calls / 10);
  for (int64_t number = -warm_up; number < calls; ++number) {
    const auto start = std::chrono::steady_clock::now();
    const auto answer = call(*session, signature, chosen->inputs);
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    if (number >= 0) times.push_back(taken.count());
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) { return times[size_t(std::ceil(share * double(calls))) - 1]; };
  const auto& shape = chosen->inputs.at(signature.inputs[0].name).shape;
  const auto [library, version] = runtime.library();
  return {{"client", runtime.client()},
          {"runtime", library + " " + version},
          {"format", format.at("name")},
          {"signature", "top_k"},
          {"case", chosen->name},
          {"rows", shape[0]},
          {"length", shape.back()},
          {"threads", 1},
          {"calls", calls},
          {"p50_us", at(0.5)},
          {"p99_us", at(0.99)}};
}

}  // namespace bst
