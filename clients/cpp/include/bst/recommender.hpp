// Raw ids in, raw ids out: the best items for a user, and the scores of given ones.
#pragma once

#include <algorithm>
#include <cmath>

#include "runtime.hpp"

namespace bst {

using Context = std::map<std::string, Id>;  // a category by the name of its feature; a missing one is unknown

// The request for one user.
struct Request {
  Ids history;  // oldest first
  Context context;
  Ids candidates;
  std::optional<int64_t> k;
};

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

// Between raw ids and the tensors of a signature; in a format at index level they are looked up.
class Translator {
 public:
  Translator(const Bundle& bundle, const Signature& signature)
      : signature_(signature), items_(bundle.manifest.items), context_(bundle.manifest.context) {
    if (signature.ids == "index" || items_.named) vocabularies_ = bundle.vocabularies();
  }

  // The names of items, where the bundle has them.
  Texts names(const Ids& ids) const {
    Texts found;
    if (items_.named)
      for (const auto& id : ids) found.push_back(vocabularies_->items.name(id));
    return found;
  }

  // The inputs of the signature, one row. Throws InputError for ids of another kind and features not of the
  // model.
  Tensors inputs(const Request& request) const {
    const Ids padding{items_.padding};
    const auto& history = request.history.empty() ? padding : request.history;
    Tensors inputs;
    for (const auto& spec : signature_.inputs) {
      if (spec.name == "history" || spec.name == "items") inputs[spec.name] = row(history, spec.name);
      if (spec.name == "candidates") inputs[spec.name] = row(request.candidates, spec.name);
      if (spec.name == "k")
        inputs["k"] = {{1}, Ints{request.k.value_or(std::min<int64_t>(10, *signature_.max_k))}};
    }
    add_context(request.context, inputs);
    return inputs;
  }

  // The raw ids in the first `count` places of an answer.
  Ids ids(const Tensor& answer, size_t count) const {
    if (answer.size() < count)
      throw CheckError(signature_.name + " gives fewer ids than scores; export again");
    Ids found;
    for (size_t place = 0; place < count; ++place)
      found.push_back(signature_.ids == "index" ? vocabularies_->items.id(answer.ints()[place])
                                               : answer.id(place));
    return found;
  }

 private:
  static void require_kind(const Id& id, const VocabularyFacts& facts, const std::string& where) {
    if (id.index() != facts.padding.index())
      throw InputError(where + ": " + to_text(id) + " is not an id of this model; its ids are " +
                       (facts.dtype == "string" ? "text" : "integers of 64 bits"));
  }

  static Tensor raw(const Ids& ids, const Ints& shape, const VocabularyFacts& facts) {
    Ints numbers;
    Texts texts;
    for (const auto& id : ids)
      if (const auto* text = std::get_if<std::string>(&id))
        texts.push_back(*text);
      else
        numbers.push_back(std::get<int64_t>(id));
    if (facts.dtype == "string") return {shape, std::move(texts)};
    return {shape, std::move(numbers)};
  }

  Tensor row(const Ids& ids, const std::string& where) const {
    for (const auto& id : ids) require_kind(id, items_, where);
    const Ints shape{1, int64_t(ids.size())};
    if (signature_.ids != "index") return raw(ids, shape, items_);
    Ints indices;
    for (const auto& id : ids) indices.push_back(vocabularies_->items.index(id));
    return {shape, indices};
  }

  void add_context(const Context& context, Tensors& inputs) const {
    refuse_strangers(context);
    Ints indices;
    for (const auto& [name, facts] : context_) {
      const auto found = context.find(name);
      const auto& category = found == context.end() ? facts.padding : found->second;
      require_kind(category, facts, name);
      if (signature_.ids == "index")
        indices.push_back(vocabularies_->context[indices.size()].index(category));
      else
        inputs[name] = raw({category}, {1}, facts);
    }
    if (!indices.empty()) inputs["context"] = {{1, int64_t(indices.size())}, indices};
  }

  void refuse_strangers(const Context& context) const {
    Texts known, strangers;
    for (const auto& [name, facts] : context_) known.push_back(name);
    for (const auto& [name, category] : context)
      if (std::find(known.begin(), known.end(), name) == known.end()) strangers.push_back(name);
    if (!strangers.empty())
      throw InputError("the model has no context feature " + join(strangers, ", ") + "; it has " +
                       (known.empty() ? "none" : join(known, ", ")));
  }

  const Signature signature_;
  const VocabularyFacts items_;
  const std::vector<std::pair<std::string, VocabularyFacts>> context_;
  std::shared_ptr<const Vocabularies> vocabularies_;  // null where nothing is looked up here
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
  // ignored, and with none the context alone decides. Returns at most `k` items, by default the bundle's k. Throws
  // InputError for ids of another kind, a feature that the model has not, and a k out of range.
  Recommendation recommend(const Ids& history, const Context& context = {},
                           std::optional<int64_t> k = {}) const {
    const auto given = signature().outputs[0].shape[1].size;  // of a fixed k
    if (k && !signature().max_k && (*k < 1 || *k > given))
      throw InputError("--k " + std::to_string(*k) + ": this bundle gives 1 to " + std::to_string(given) +
                       "; export with a larger --k");
    const auto answer = function_(translator_.inputs({history, context, {}, k}));
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

// `score_candidates` of a bundle.
class Scorer : public RawIdCaller {
 public:
  // As a `Recommender`.
  Scorer(const Bundle& bundle, Runtime& runtime, const Options& options = {})
      : RawIdCaller(bundle, runtime, "score_candidates", options) {}

  // A score (a logit) for each candidate, -inf for one that the model does not know. Throws as `recommend`
  // does.
  Floats score(const Ids& candidates, const Ids& history, const Context& context = {}) const {
    return function_(translator_.inputs({history, context, candidates, {}})).at("scores").floats();
  }
};

}  // namespace bst
