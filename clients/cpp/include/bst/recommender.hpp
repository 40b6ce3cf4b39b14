// Raw ids in, raw ids out: the best items for a user, and the scores of given ones.
#pragma once

#include "translator.hpp"
#include "runtime.hpp"

namespace bst {

// The format of the bundle to run, and the number of threads: "" and 0 leave it to the runtime and the
// bundle.
struct Options {
  std::string format;
  int threads = 0;
};

// Best first; fewer than k where the catalogue cannot fill the places. The scores are logits.
struct Recommendation {
  Ids item_ids;
  Floats scores;
  Texts names;  // of the items, "" where one has none; empty where the bundle has none
};

// A signature called with raw ids. Calls may come from several threads at once; it may outlive bundle and
// runtime.
class RawIdCaller {
 public:
  const Signature& signature() const { return function_.signature(); }
  const Format& format() const { return format_; }

 protected:
  RawIdCaller(const Bundle& bundle, Runtime& runtime, const std::string& signature, const Options& options)
      : format_(choose_format(bundle, runtime, options.format)),
        function_(bundle, format_, signature, runtime, options.threads),
        translator_(bundle, function_.signature()) {}

  const Format format_;
  const Function function_;
  const Translator translator_;
};

// `top_k` of a bundle.
class Recommender : public RawIdCaller {
 public:
  // Compares the files with their hashes and loads them. Throws InputError if the bundle lacks `top_k` or the
  // format, CheckError if a file is altered or does not run here.
  Recommender(const Bundle& bundle, Runtime& runtime, const Options& options = {})
      : RawIdCaller(bundle, runtime, "top_k", options) {}

  // `history` is raw ids, oldest first, of any length: the newest `max_length` are read, unknown ones are
  // ignored, and with none the context alone decides. `events` has a value for each of them. Returns at most
  // `k` items, by default the bundle's k. Throws InputError for values of another kind, a name that the model
  // has not, events that are not as many as the history, and a k out of range.
  Recommendation recommend(const Ids& history, const Context& context = {}, const Events& events = {},
                           std::optional<int64_t> k = {}) const {
    const auto given = signature().outputs[0].shape[1].size;  // of a fixed k
    if (k && !signature().max_k && (*k < 1 || *k > given))
      throw InputError("--k " + std::to_string(*k) + ": this bundle gives 1 to " + std::to_string(given) +
                       "; export with a larger --k");
    const auto answer = function_(translator_.inputs({history, context, events, {}, k, {}, {}}));
    Recommendation found;
    for (const float score : answer.at("scores").floats()) {
      if (!std::isfinite(score) || (k && int64_t(found.scores.size()) == *k)) break;  // nothing is left
      found.scores.push_back(score);
    }
    found.item_ids = translator_.ids(answer.at(signature().outputs[0].name), found.scores.size());
    found.names = translator_.names(found.item_ids);
    return found;
  }
};

// One of each a candidate: a score (a logit), -inf for one that the model does not know; of a click model its
// probability, which is then 0.
struct CandidateScores {
  Floats scores;
  Floats probabilities;  // empty where the model is no click model
};

// `score_candidates` of a bundle.
class Scorer : public RawIdCaller {
 public:
  // As a `Recommender`.
  Scorer(const Bundle& bundle, Runtime& runtime, const Options& options = {})
      : RawIdCaller(bundle, runtime, "score_candidates", options) {}

  // Throws as `recommend` does.
  CandidateScores score_candidates(const Ids& candidates, const Ids& history, const Context& context = {},
                                   const Events& events = {}, const CandidateFeatures& features = {},
                                   const Sequences& sequences = {}) const {
    const auto answer =
        function_(translator_.inputs({history, context, events, candidates, {}, features, sequences}));
    const auto probabilities = answer.find(kProbabilities);
    return {answer.at("scores").floats(),
            probabilities == answer.end() ? Floats() : probabilities->second.floats()};
  }

  // The scores alone.
  Floats score(const Ids& candidates, const Ids& history, const Context& context = {},
               const Events& events = {}, const CandidateFeatures& features = {},
               const Sequences& sequences = {}) const {
    return score_candidates(candidates, history, context, events, features, sequences).scores;
  }
};

}  // namespace bst
