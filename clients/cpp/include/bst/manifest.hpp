// manifest.json as values.
#pragma once

#include <algorithm>

#include "signature.hpp"

namespace bst {

// A file of the bundle; `path` is relative to it.
struct FileRecord {
  std::string path;
  int64_t bytes;
  std::string sha256;
};

// Facts of a vocabulary that a caller needs: the dtype (int64 or string), and the id of empty slots.
struct VocabularyFacts {
  std::string dtype;
  int64_t count;
  Id padding;
  bool named;  // vocabulary.json has names for people
};

// An input of the model beside the history, by the name that a caller gives it.
struct Input {
  enum Kind { category, seconds, number };
  enum Of { request, event, candidate };

  std::string name;
  std::string group;      // the tensor at index level: a column an input, or the input itself if it is a time
  Kind kind;
  Of of;                  // what it has a value for: the request, each event of the history, each candidate
  VocabularyFacts facts;  // of the categories; a time is int64, and 0 where it is not known
};

// The needs of a format on the machine that runs it.
struct Needs {
  std::map<std::string, std::string> at_least;  // the lowest version of a library
  std::string machine;                          // as `uname -m` says it; empty where any will do
  Texts cpu_flags;                              // as Linux names them
  Texts remarks;                                // caveats for people
};

struct Format {
  std::string name, ids, golden;                             // `golden` is a folder
  std::vector<std::pair<std::string, std::string>> entries;  // signature and the file that holds it
  Needs needs;

  const std::string& file_of(const std::string& signature) const {
    for (const auto& [name, path] : entries)
      if (name == signature) return path;
    throw InputError("signature '" + signature + "' has no file in " + name + "; export again");
  }
};

// Options of ONNX Runtime's session: the fastest of `bst export --tune`, or its defaults. 0 threads: its
// default.
struct SessionOptions {
  int threads = 0;
  bool arena = true, spinning = true, prepacking = true;
};

struct Manifest {
  std::vector<Signature> signatures;
  std::vector<Format> formats;
  std::vector<FileRecord> files;
  VocabularyFacts items;
  std::vector<Input> inputs;  // in the order of the model
  SessionOptions tuning;
  double tolerance;  // of the largest score of a call
  std::string task;  // of the model: "next_item" or "click"
  bool unknown_items = false;  // an item that the model does not know has a row of its own
  Texts sequences = {};        // inputs that are sequences of items, others than the history

  // The format of that name, or null.
  const Format* format(const std::string& name) const {
    for (const auto& format : formats)
      if (format.name == name) return &format;
    return nullptr;
  }
  // The signature of that name at that level of ids, or null.
  const Signature* find_signature(const std::string& name, const std::string& ids) const {
    for (const auto& signature : signatures)
      if (signature.name == name && signature.ids == ids) return &signature;
    return nullptr;
  }
  // Likewise; throws InputError if there is none. The message lists the others, or says why a click model has
  // none of that name.
  const Signature& signature(const std::string& name, const std::string& ids) const {
    if (const auto* found = find_signature(name, ids)) return *found;
    Texts known;
    if (task == "click" && (name == "top_k" || name == "all_scores"))
      throw InputError("signature '" + name + "' needs scores of a whole catalogue, and a model of task '" +
                       task + "' scores the candidates that a caller lists; ask for score_candidates");
    for (const auto& signature : signatures)
      if (signature.ids == ids) known.push_back(signature.name);
    throw InputError("signature '" + name + "' is not in the bundle; known: " + join(known, ", "));
  }
  // The input of that name, of the request, the events or the candidates, or null.
  const Input* input(const std::string& name, Input::Of of) const {
    for (const auto& input : inputs)
      if (input.name == name && input.of == of) return &input;
    return nullptr;
  }
  bool has_sequence(const std::string& name) const {
    return std::find(sequences.begin(), sequences.end(), name) != sequences.end();
  }
  // The names of those, as people read them.
  std::string sequence_names() const { return sequences.empty() ? "none" : join(sequences, ", "); }
  // The names of all inputs of the request, the events or the candidates, as people read them.
  std::string input_names(Input::Of of) const {
    Texts names;
    for (const auto& input : inputs)
      if (input.of == of) names.push_back(input.name);
    return names.empty() ? "none" : join(names, ", ");
  }
};

}  // namespace bst
