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
    const auto& tensor = golden.inputs.at(vocabularies ? input.group : input.name);
    const size_t width = tensor.size() / (input.per_event ? history.size() : 1);
    auto& taken = columns[input.group];
    for (size_t place = vocabularies ? taken++ : 0; place < tensor.size(); place += width) {
      const auto value = recorded_value(tensor, place, input, vocabularies.get());
      if (input.per_event)
        request.events[input.name].push_back(value);
      else
        request.context[input.name] = value;
    }
  }
  if (signature.max_k) request.k = golden.inputs.at("k").ints()[0];
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
  throw InputError("--case " + name + " is not among the golden cases of top_k; give such as full");
}

// Time calls of `recommend`, after a warm-up: microseconds, in ascending order.
inline std::vector<double> time_calls(const Recommender& recommender, const Request& request, int64_t calls) {
  std::vector<double> times_us;
  const int64_t warm_up = std::max<int64_t>(20, calls / 10);
  for (int64_t number = -warm_up; number < calls; ++number) {
    const auto start = std::chrono::steady_clock::now();
    const auto answer = recommender.recommend(request.history, request.context, request.events, request.k);
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    if (number >= 0) times_us.push_back(taken.count());
  }
  std::sort(times_us.begin(), times_us.end());
  return times_us;
}

// Time calls for one user on one thread.
inline Json bench(const Bundle& bundle, Runtime& runtime, const std::string& format,
                  const std::string& client, const std::string& name, int64_t calls) {
  const Recommender recommender(bundle, runtime, {format, 1});
  const auto& signature = recommender.signature();
  const auto golden = find_golden(bundle, recommender.format(), signature, name);
  const auto request = to_request(bundle, signature, golden);
  const auto times_us = time_calls(recommender, request, calls);
  const auto at = [&](double share) { return times_us[size_t(std::ceil(share * double(calls))) - 1]; };
  return {{"client", client},
          {"runtime", runtime.library() + " " + runtime.version()},
          {"format", recommender.format().name},
          {"signature", "top_k"},
          {"case", name},
          {"rows", 1},
          {"length", request.history.size()},
          {"threads", 1},
          {"calls", calls},
          {"p50_us", at(0.5)},
          {"p99_us", at(0.99)}};
}

}  // namespace bst
