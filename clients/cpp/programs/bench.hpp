// The time of a call, from raw ids in to raw ids out.
#pragma once

#include <bst/detail/golden.hpp>
#include <bst/recommender.hpp>
#include <chrono>

namespace bst {

// An index out of range is no id.
inline const Id& raw_id(const Vocabulary& vocabulary, int64_t index, const VocabularyFacts& facts) {
  return vocabulary.id(index < 0 || index > facts.count ? 0 : index);
}

inline Value recorded_value(const Tensor& tensor, size_t place, const Input& input,
                            const Vocabularies* vocabularies) {
  if (input.kind == Input::number) return double(tensor.floats()[place]);
  const bool is_looked_up = vocabularies && input.kind == Input::category;
  const auto id = is_looked_up
                      ? raw_id(vocabularies->inputs.at(input.name), tensor.ints()[place], input.facts)
                      : tensor.id(place);
  return std::visit([](const auto& known) { return Value(known); }, id);
}

// A golden call of one user, in raw ids.
inline Request to_request(const Bundle& bundle, const Signature& signature, const GoldenCase& golden) {
  check_inputs(signature, golden.inputs);
  Request request;
  const auto vocabularies = signature.ids == "index" ? bundle.vocabularies() : nullptr;
  const auto& history = golden.inputs.at(signature.inputs[0].name);
  for (size_t place = 0; place < history.size(); ++place)
    request.history.push_back(
        vocabularies ? raw_id(vocabularies->items, history.ints()[place], bundle.manifest.items)
                     : history.id(place));
  std::map<std::string, size_t> columns;  // by index: so many of each tensor are taken
  for (const auto& input : bundle.manifest.inputs) {
    if (input.of == Input::candidate && !signature.input("candidates")) continue;
    const auto& tensor = golden.inputs.at(vocabularies ? input.group : input.name);
    const size_t rows = input.of == Input::request ? 1
                        : input.of == Input::event ? history.size()
                                                   : golden.inputs.at("candidates").size();
    const size_t width = tensor.size() / rows;
    auto& taken = columns[input.group];
    for (size_t place = vocabularies ? taken++ : 0; place < tensor.size(); place += width) {
      const auto value = recorded_value(tensor, place, input, vocabularies.get());
      if (input.of == Input::request)
        request.context[input.name] = value;
      else
        (input.of == Input::event ? request.events : request.candidate_features)[input.name].push_back(value);
    }
  }
  if (signature.max_k) request.k = golden.inputs.at("k").ints()[0];
  if (signature.input("candidates")) {
    const auto& candidates = golden.inputs.at("candidates");
    for (size_t place = 0; place < candidates.size(); ++place)
      request.candidates.push_back(
          vocabularies ? raw_id(vocabularies->items, candidates.ints()[place], bundle.manifest.items)
                       : candidates.id(place));
  }
  return request;
}

inline GoldenCase find_golden(const Bundle& bundle, const Format& format, const Signature& signature,
                              const std::string& name) {
  for (auto& golden : read_golden(bundle, format, signature))
    if (golden.name == name) {
      if (const auto rows = golden.inputs.at(signature.inputs[0].name).shape[0]; rows != 1)
        throw InputError("--case " + name + " is a call for " + std::to_string(rows) +
                         " users; give one of one user, such as full");
      return golden;
    }
  throw InputError("--case " + name + " is not among the golden cases of " + signature.name +
                   "; give such as full");
}

// Time calls, after a warm-up: microseconds, in ascending order.
template <typename Call>
std::vector<double> time_calls(const Call& call, int64_t calls) {
  std::vector<double> times_us;
  const int64_t warm_up = std::max<int64_t>(20, calls / 10);
  for (int64_t number = -warm_up; number < calls; ++number) {
    const auto start = std::chrono::steady_clock::now();
    const auto answer = call();
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    if (number >= 0) times_us.push_back(taken.count());
  }
  std::sort(times_us.begin(), times_us.end());
  return times_us;
}

inline Recommendation answer(const Recommender& recommender, const Request& request) {
  return recommender.recommend(request.history, request.context, request.events, request.k);
}

inline CandidateScores answer(const Scorer& scorer, const Request& request) {
  return scorer.score_candidates(request.candidates, request.history, request.context, request.events);
}

// Time calls of a recommender or a scorer for one user on one thread.
template <typename Caller>
Json bench(const Bundle& bundle, Runtime& runtime, const std::string& format, const std::string& client,
           const std::string& name, int64_t calls) {
  const Caller caller(bundle, runtime, {format, 1});
  const auto& signature = caller.signature();
  const auto golden = find_golden(bundle, caller.format(), signature, name);
  const auto request = to_request(bundle, signature, golden);
  const auto times_us = time_calls([&]() { return answer(caller, request); }, calls);
  const auto at = [&](double share) { return times_us[size_t(std::ceil(share * double(calls))) - 1]; };
  Json measured{{"client", client},
          {"runtime", runtime.library() + " " + runtime.version()},
          {"format", caller.format().name},
          {"signature", signature.name},
          {"case", name},
          {"rows", 1},
          {"length", request.history.size()}};
  if (!request.candidates.empty()) measured["candidates"] = request.candidates.size();
  measured.update(Json{{"threads", 1}, {"calls", calls}, {"p50_us", at(0.5)}, {"p99_us", at(0.99)}});
  return measured;
}

}  // namespace bst
