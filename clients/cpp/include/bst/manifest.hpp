// What a bundle says of itself: manifest.json, read into values.
#pragma once

#include <algorithm>
#include <cmath>

#include "signature.hpp"

namespace bst {

constexpr int kSchemaVersion = 3;
constexpr double kTolerance = 1e-5;

// A file of the bundle; `path` is relative to it.
struct FileRecord {
  std::string path;
  int64_t bytes;
  std::string sha256;
};

// What a caller must know of raw ids: their dtype (int64 or string), and what fills a slot that holds none.
struct VocabularyFacts {
  std::string dtype;
  int64_t count;
  Id padding;
};

// What a format asks of the machine that runs it.
struct Needs {
  std::map<std::string, std::string> at_least;  // the lowest version of a library
  std::string machine;                          // as `uname -m` says it; empty where any will do
  Texts cpu_flags;                              // as Linux names them
  Texts remarks;                                // what a person should know
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

// Options of ONNX Runtime's session; what `bst export --tune` found fastest, or its own. 0 threads: its own
// number.
struct SessionOptions {
  int threads = 0;
  bool arena = true, spinning = true, prepacking = true;
};

struct Manifest {
  std::vector<Signature> signatures;
  std::vector<Format> formats;
  std::vector<FileRecord> files;
  VocabularyFacts items;
  std::vector<std::pair<std::string, VocabularyFacts>> context;  // in the order of the model
  SessionOptions tuning;
  double tolerance;  // of the largest score of a call

  // The format of that name, or null.
  const Format* format(const std::string& name) const {
    for (const auto& format : formats)
      if (format.name == name) return &format;
    return nullptr;
  }
  // Throws InputError if there is none of that name at that level of ids; the message lists the others.
  const Signature& signature(const std::string& name, const std::string& ids) const {
    Texts known;
    for (const auto& signature : signatures) {
      if (signature.ids != ids) continue;
      if (signature.name == name) return signature;
      known.push_back(signature.name);
    }
    throw InputError("signature '" + name + "' is not in the bundle; known: " + join(known, ", "));
  }
  // Null if the model has no context feature of that name.
  const VocabularyFacts* feature(const std::string& name) const {
    for (const auto& [feature, facts] : context)
      if (feature == name) return &facts;
    return nullptr;
  }
};

namespace detail {

inline VocabularyFacts read_facts(const Field& field) {
  VocabularyFacts facts{field.at("dtype").text(), field.at("count").integer(), field.at("padding").id()};
  if (facts.dtype != (facts.padding.index() ? "string" : "int64"))
    field.refuse("has a padding of another dtype");
  return facts;
}

inline Needs read_needs(const Field& field) {
  Needs needs{{}, "", field.at("cpu_flags").texts(), field.at("remarks").texts()};
  const auto least = field.at("at_least");
  for (const auto& library : least.keys()) needs.at_least[library] = least.at(library).text();
  if (const auto machine = field.at("machine"); !machine.null()) needs.machine = machine.text();
  return needs;
}

inline Format read_format(const Field& field) {
  Format format{field.at("name").text(),
                field.at("ids").text(),
                field.at("golden").text(),
                {},
                read_needs(field.at("needs"))};
  const auto entries = field.at("entries");
  for (const auto& name : entries.keys())
    format.entries.emplace_back(name, entries.at(name).at("path").text());
  return format;
}

inline SessionOptions read_tuning(const Field& field) {
  if (field.null()) return {};
  const auto stated = field.at("options");
  SessionOptions options{0, stated.at("arena").flag(), stated.at("spinning").flag(),
                         stated.at("prepacking").flag()};
  if (const auto threads = stated.at("threads"); !threads.null()) options.threads = int(threads.integer());
  return options;
}

// What a manifest must not state: nothing to replay, a bound of its own, files that no hash is stated of.
inline Texts offences_of(const Manifest& manifest) {
  Texts offences;
  std::set<std::string> listed, named;
  for (const auto& record : manifest.files) listed.insert(record.path);
  bool whole = !manifest.formats.empty();
  for (const auto& format : manifest.formats) {
    whole = whole && !format.entries.empty();
    for (const auto& [name, path] : format.entries)
      named.insert({path, format.golden + "/" + name + ".json"});
  }
  for (const auto& path : named)
    if (!listed.count(path)) offences.push_back(path + " is not among its files");
  for (const auto& path : listed) {
    const fs::path inside(path);
    const bool climbs = std::find(inside.begin(), inside.end(), "..") != inside.end();
    if (inside.is_absolute() || climbs) offences.push_back(path + " leads out of the bundle");
  }
  if (!whole) offences.push_back("it holds no format or no signature");
  if (!(manifest.tolerance > 0 && manifest.tolerance <= kTolerance))
    offences.push_back("tolerance is not above 0 and at most 1e-05");
  return offences;
}

inline void refuse_other_versions(const Field& root, const fs::path& bundle) {
  const auto version = root.json().is_object() ? root.json().value("schema_version", Json()) : Json();
  if (version != kSchemaVersion)
    throw InputError(bundle.string() + ": schema_version=" + version.dump() + ", this version reads " +
                     std::to_string(kSchemaVersion) + "; export again");
}

inline Manifest read_fields(const Field& root) {
  Manifest manifest{{},
                    {},
                    {},
                    read_facts(root.at("items")),
                    {},
                    read_tuning(root.at("tuning")),
                    root.at("tolerance").number()};
  for (const auto& one : root.at("signatures").list()) manifest.signatures.push_back(read_signature(one));
  for (const auto& one : root.at("formats").list()) manifest.formats.push_back(read_format(one));
  for (const auto& one : root.at("files").list())
    manifest.files.push_back({one.at("path").text(), one.at("bytes").integer(), one.at("sha256").text()});
  for (const auto& feature : root.at("model").at("context").list()) {
    const auto name = feature.at("name").text();
    manifest.context.emplace_back(name, read_facts(root.at("context").at(name)));
  }
  return manifest;
}

}  // namespace detail

// Throws InputError if the folder is no bundle of this schema, or its manifest states what it must not.
inline Manifest read_manifest(const fs::path& bundle) {
  const auto path = bundle / "manifest.json";
  auto manifest = read_file(path, "a manifest", [&](const Field& root) {
    detail::refuse_other_versions(root, bundle);
    return detail::read_fields(root);
  });
  if (const auto offences = detail::offences_of(manifest); !offences.empty())
    throw InputError(path.string() + ": " + join(offences, "; ") + "; export again");
  return manifest;
}

}  // namespace bst
