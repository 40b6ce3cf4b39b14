// The words of the command line.
#pragma once

#include <bst/recommender.hpp>
#include <set>

namespace bst {

struct Arguments {
  std::string command;
  fs::path bundle;
  Texts history, candidates;                   // ids as they were typed
  std::map<std::string, std::string> context;  // likewise
  std::optional<int64_t> k;
  std::string format, golden_case = "full";
  int64_t calls = 2000;
};

inline const std::string kUsage =
    "use: recommend|score|verify|bench BUNDLE [--history ID,..] [--context NAME=VALUE,..] "
    "[--candidates ID,..] [--k N] [--format NAME] [--case NAME] [--calls N]";
inline const std::map<std::string, std::set<std::string>> kOptions{
    {"recommend", {"--history", "--context", "--k", "--format"}},
    {"score", {"--history", "--context", "--candidates", "--format"}},
    {"verify", {"--format"}},
    {"bench", {"--case", "--calls", "--format"}}};

inline Texts split(const std::string& text) {
  Texts parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  if (text.empty() || text.back() == ',') parts.emplace_back();
  return parts;
}

// Ids between commas, without the blanks around them.
inline Texts split_ids(const std::string& text) {
  Texts ids;
  for (const auto& part : split(text)) {
    const auto first = part.find_first_not_of(' ');
    if (first != std::string::npos) ids.push_back(part.substr(first, part.find_last_not_of(' ') - first + 1));
  }
  return ids;
}

inline std::map<std::string, std::string> split_pairs(const std::string& text) {
  std::map<std::string, std::string> pairs;
  for (const auto& pair : split(text)) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos || !pairs.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second)
      throw InputError("--context '" + pair + "' is not one of NAME=VALUE, each name once");
  }
  return pairs;
}

// A count; its bundle or use has further conditions.
inline int64_t whole_number(const std::string& option, const std::string& text, int64_t least) {
  const bool digits =
      !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoll(text) < least)
    throw InputError(option + " " + text + " is not a whole number from 1 to 999999999; give such as " +
                     option + " 10");
  return std::stoll(text);
}

inline void set_option(Arguments& arguments, const std::string& option, const std::string& value) {
  if (option == "--history") arguments.history = split_ids(value);
  if (option == "--candidates") arguments.candidates = split_ids(value);
  if (option == "--context") arguments.context = split_pairs(value);
  if (option == "--k") arguments.k = whole_number(option, value, 0);
  if (option == "--format") arguments.format = value;
  if (option == "--case") arguments.golden_case = value;
  if (option == "--calls") arguments.calls = whole_number(option, value, 1);
}

inline Arguments parse_arguments(const Texts& words) {
  if (words.size() < 2 || !kOptions.count(words[0]) || words[1].empty()) throw InputError(kUsage);
  Arguments arguments;
  arguments.command = words[0];
  arguments.bundle = words[1];
  for (size_t place = 2; place < words.size(); place += 2) {
    const auto& option = words[place];
    if (!kOptions.at(words[0]).count(option))
      throw InputError(option + " is not an option of " + words[0] + "; " + kUsage);
    if (place + 1 == words.size()) throw InputError(option + " has no value; " + kUsage);
    set_option(arguments, option, words[place + 1]);
  }
  return arguments;
}

// An id as the data has it: a number of 64 bits or text.
inline Id typed_id(const std::string& text, const VocabularyFacts& facts, const std::string& option) {
  if (facts.dtype == "string") {
    try {
      Json(text).dump();
    } catch (const Json::exception&) {
      throw InputError(option + ": an id is not text in UTF-8; give one that is");
    }
    return text;
  }
  try {
    size_t read = 0;
    const int64_t number = std::stoll(text, &read);
    if (read == text.size()) return number;
  } catch (const std::exception&) {  // reported below
  }
  throw InputError(option + ": '" + text + "' is not an id of this model; its ids are integers of 64 bits");
}

inline Ids typed_ids(const Texts& texts, const VocabularyFacts& facts, const std::string& option) {
  Ids ids;
  for (const auto& text : texts) ids.push_back(typed_id(text, facts, option));
  return ids;
}

inline Request to_request(const Arguments& arguments, const Manifest& manifest) {
  Texts known;
  for (const auto& [name, facts] : manifest.context) known.push_back(name);
  Context context;
  for (const auto& [name, value] : arguments.context) {
    const auto* facts = manifest.feature(name);
    if (!facts)
      throw InputError("--context '" + name + "=" + value +
                       "' is not one of NAME=VALUE with a feature of the model, once: " +
                       (known.empty() ? "none" : join(known, ", ")));
    context[name] = typed_id(value, *facts, "--context " + name);
  }
  return {typed_ids(arguments.history, manifest.items, "--history"), context,
          typed_ids(arguments.candidates, manifest.items, "--candidates"), arguments.k};
}

}  // namespace bst
