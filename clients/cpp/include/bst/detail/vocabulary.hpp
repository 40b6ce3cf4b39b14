// Raw ids and their indices, of items and of each input of categories.
#pragma once

#include <unordered_map>

#include "../manifest.hpp"

namespace bst {

// Index 1 is the first id of the list; index 0 stands for every id that the vocabulary does not hold.
class Vocabulary {
 public:
  // Throws FieldError if the vocabulary is not the one that the manifest states.
  Vocabulary(const Field& field, const VocabularyFacts& facts) : padding_(facts.padding) {
    const bool text = facts.dtype == "string";
    for (const auto& id : field.at("ids").array()) {
      if (!(text ? id.is_string() : is_integer(id))) field.refuse("holds an id that is no " + facts.dtype);
      ids_.push_back(text ? Id(id.get<std::string>()) : Id(id.get<int64_t>()));
      indices_.emplace(ids_.back(), int64_t(ids_.size()));
    }
    if (facts.named)
      for (const auto& name : field.at("names").array()) {
        if (!name.is_null() && !name.is_string()) field.refuse("holds a name that is no text");
        names_.push_back(name.is_null() ? "" : name.get<std::string>());
      }
    if (facts.named && names_.size() != ids_.size())
      field.refuse("holds " + std::to_string(names_.size()) + " names for " + std::to_string(ids_.size()) + " ids");
    if (int64_t(ids_.size()) != facts.count)
      field.refuse("holds " + std::to_string(ids_.size()) + " ids, manifest.json states " +
                   std::to_string(facts.count));
  }

  int64_t index(const Id& id) const {
    const auto found = indices_.find(id);
    return found == indices_.end() ? 0 : found->second;
  }
  // The raw id of an index; the padding value of index 0. Throws CheckError beyond the ids.
  const Id& id(int64_t index) const {
    if (index == 0) return padding_;
    if (index < 0 || index > int64_t(ids_.size()))
      throw CheckError("index " + std::to_string(index) + " is beyond the " + std::to_string(ids_.size()) +
                       " ids of the vocabulary; export again");
    return ids_[size_t(index) - 1];
  }

  // The name of an id; empty where it has none.
  std::string name(const Id& id) const {
    const auto place = index(id);
    return place && !names_.empty() ? names_[size_t(place) - 1] : "";
  }

 private:
  Id padding_;
  Ids ids_;
  Texts names_;
  std::unordered_map<Id, int64_t> indices_;
};

struct Vocabularies {
  Vocabulary items;
  std::map<std::string, Vocabulary> inputs;  // by name
};

inline Vocabularies read_vocabularies(const fs::path& bundle, const Manifest& manifest) {
  return read_file(bundle / "vocabulary.json", "the vocabulary of this bundle", [&](const Json& json) {
    const Field root(json);
    Vocabularies found{Vocabulary(root.at("items"), manifest.items), {}};
    for (const auto& input : manifest.inputs)
      if (input.kind == Input::category)
        found.inputs.emplace(input.name, Vocabulary(root.at(input.group).at(input.name), input.facts));
    return found;
  });
}

}  // namespace bst
