// manifest.json, read and judged by the rules of docs/reference/manifest.md.
#pragma once

#include "rules.hpp"
#include "schema.hpp"

namespace bst {
namespace detail {

inline VocabularyFacts read_facts(const Field& field) {
  return {field.at("dtype").text(), field.at("count").integer(), field.at("padding").id(),
          field.at("named").flag()};
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

// `4.` and a number: a later minor adds fields, which are ignored.
inline bool is_version(const std::string& version) {
  const auto minor = version.substr(std::min<size_t>(2, version.size()));
  const bool digits = !minor.empty() && minor.find_first_not_of("0123456789") == std::string::npos;
  return version.rfind("4.", 0) == 0 && digits && (minor == "0" || minor[0] != '0');
}

inline void refuse_other_versions(const Json& json, const fs::path& bundle) {
  const auto version = json.is_object() ? json.value("schema_version", Json()) : Json();
  if (!version.is_string() || !is_version(version.get<std::string>()))
    throw InputError(bundle.string() + ": schema_version=" + version.dump() +
                     ", this version reads 4.*; export again");
}

// In the order in which a signature takes them.
inline std::vector<Input> read_inputs(const Field& root) {
  const auto model = root.at("model");
  const bool timed = model.at("event_times").text() != "none";
  const VocabularyFacts no_vocabulary{"int64", 0, int64_t{0}, false};
  std::vector<Input> inputs;
  const auto add_categories = [&](const std::string& group, Input::Of of) {
    const auto vocabularies = root.at(group);
    for (const auto& name : vocabularies.keys())
      inputs.push_back({name, group, Input::category, of, read_facts(vocabularies.at(name))});
  };
  add_categories("events", Input::event);
  if (timed)
    for (const auto& [name, of] :
         {std::pair("event_time", Input::event), std::pair("request_time", Input::request)})
      inputs.push_back({name, name, Input::seconds, of, no_vocabulary});
  add_categories("context", Input::request);
  for (const auto& number : model.at("numbers").list())
    inputs.push_back({number.at("name").text(), "numbers", Input::number, Input::request, no_vocabulary});
  add_categories("candidate_features", Input::candidate);
  return inputs;
}

// What models of a task have where nothing else is said.
inline void complete_task(Json& json) {
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || model->value("task", Json()) != "click") return;
  const Json defaults{{"pooling", "target"}, {"tied_output", false}};
  for (const auto& [name, value] : defaults.items())
    if (!model->contains(name)) (*model)[name] = value;
}

inline Manifest read_fields(const Field& root) {
  Manifest manifest{{},
                    {},
                    {},
                    read_facts(root.at("items")),
                    read_inputs(root),
                    read_tuning(root.at("tuning")),
                    root.at("tolerance").number(),
                    root.at("model").at("task").text()};
  manifest.unknown_items = root.at("model").at("unknown_items").text() == "row";
  for (const auto& one : root.at("model").at("sequences").list())
    manifest.sequences.push_back(one.at("name").text());
  for (const auto& one : root.at("signatures").list()) manifest.signatures.push_back(read_signature(one));
  for (const auto& one : root.at("formats").list()) manifest.formats.push_back(read_format(one));
  for (const auto& one : root.at("files").list())
    manifest.files.push_back({one.at("path").text(), one.at("bytes").integer(), one.at("sha256").text()});
  return manifest;
}

}  // namespace detail

// Throws InputError if the folder is no bundle of this version, or its manifest is not sound.
inline Manifest read_manifest(const fs::path& bundle) {
  const auto path = bundle / "manifest.json";
  return read_file(path, "a manifest", [&](Json& json) {
    detail::refuse_other_versions(json, bundle);
    detail::complete_task(json);
    detail::complete(json, "manifest", "");
    const Field root(json);
    auto manifest = detail::read_fields(root);
    if (const auto offences = detail::offences_of(manifest, root); !offences.empty())
      throw InputError(path.string() + ": " + join(offences, "; ") + "; export again");
    return manifest;
  });
}

}  // namespace bst
