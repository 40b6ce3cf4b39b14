// The words of the command line.
#pragma once

#include <bst/recommender.hpp>
#include <set>

namespace bst {

struct Arguments {
  std::string command;
  fs::path bundle;
  Texts history, candidates;  // ids as they were typed
  Texts context, events, candidate_features, sequences;  // NAME=VALUE, likewise
  std::optional<int64_t> k;
  std::string format, golden_case = "full";
  int64_t calls = 2000;
};

inline const std::string kUsage =
    "use: recommend|score|verify|bench BUNDLE [--history ID,..] [--context NAME=VALUE,..] "
    "[--event NAME=VALUE,..] [--candidates ID,..] [--candidate-feature NAME=VALUE,..] [--sequence NAME=ID,..] "
    "[--k N] [--format NAME] [--case NAME] [--calls N]";
inline const std::map<std::string, std::set<std::string>> kOptions{
    {"recommend", {"--history", "--context", "--event", "--k", "--format"}},
    {"score",
     {"--history", "--context", "--event", "--candidates", "--candidate-feature", "--sequence", "--format"}},
    {"verify", {"--format"}},
    {"bench", {"--case", "--calls", "--format"}}};

inline Texts split(const std::string& text) {
  Texts parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  if (text.empty() || text.back() == ',') parts.emplace_back();
  return parts;
}

// A text without the blanks around it.
inline std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

inline Texts split_ids(const std::string& text) {
  Texts ids;
  for (const auto& part : split(text))
    if (const auto id = trimmed(part); !id.empty()) ids.push_back(id);
  return ids;
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
  if (option == "--event") arguments.events.push_back(value);
  if (option == "--sequence") arguments.sequences.push_back(value);
  if (option == "--candidate-feature") arguments.candidate_features.push_back(value);
  if (option == "--context")
    for (const auto& pair : split(value)) arguments.context.push_back(pair);
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

// None if the text is no integer, or one of more bits.
inline std::optional<int64_t> whole_of_64_bits(const std::string& text) {
  try {
    size_t read = 0;
    const int64_t number = std::stoll(text, &read);
    if (read == text.size()) return number;
  } catch (const std::exception&) {  // as other text that is no number
  }
  return {};
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
  if (const auto number = whole_of_64_bits(text)) return *number;
  throw InputError(option + ": '" + text + "' is not an id of this model; its ids are integers of 64 bits");
}

inline Ids typed_ids(const Texts& texts, const VocabularyFacts& facts, const std::string& option) {
  Ids ids;
  for (const auto& text : texts) ids.push_back(typed_id(text, facts, option));
  return ids;
}

// A number as people write it: digits, a dot, an exponent, `nan` and `inf`; not hexadecimal. One beyond doubles is
// infinite.
inline std::optional<double> typed_number(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const bool is_whole = !text.empty() && end == text.c_str() + text.size();
  if (!is_whole || text.find_first_of("xX(") != std::string::npos) return {};
  return number;
}

// A value of an input. What is empty is not known, but for a category that is text, where it is padding.
inline Value typed_value(const std::string& typed, const Input& input, const std::string& option) {
  if (input.kind == Input::category) {
    if (typed.empty() && input.of != Input::request && input.facts.dtype != "string") return {};
    return std::visit([](const auto& id) { return Value(id); }, typed_id(typed, input.facts, option));
  }
  const auto text = trimmed(typed);
  if (text.empty()) return {};
  if (input.kind == Input::seconds) {
    if (const auto seconds = whole_of_64_bits(text)) return *seconds;
  } else if (const auto number = typed_number(text)) {
    return *number;
  }
  throw InputError(option + ": '" + typed + "' is no " +
                   (input.kind == Input::seconds ? "time in seconds since 1970" : "number") +
                   "; leave it empty where it is not known");
}

// The texts of an option by their inputs, in the order in which they were typed.
inline std::vector<std::pair<const Input*, std::string>> typed_pairs(const std::string& option,
                                                                     const Texts& pairs,
                                                                     const Manifest& manifest,
                                                                     Input::Of of) {
  std::vector<std::pair<const Input*, std::string>> texts;
  std::set<std::string> seen;
  for (const auto& pair : pairs) {
    const auto equals = pair.find('=');
    const auto* input = manifest.input(pair.substr(0, equals), of);
    if (equals == std::string::npos || !input || !seen.insert(input->name).second)
      throw InputError(option + " '" + pair +
                       "' is not one of NAME=VALUE with a feature of the model, once: " +
                       manifest.input_names(of));
    texts.emplace_back(input, pair.substr(equals + 1));
  }
  return texts;
}

inline Request to_request(const Arguments& arguments, const Manifest& manifest) {
  Request request;
  request.history = typed_ids(arguments.history, manifest.items, "--history");
  request.candidates = typed_ids(arguments.candidates, manifest.items, "--candidates");
  request.k = arguments.k;
  for (const auto& [input, text] : typed_pairs("--context", arguments.context, manifest, Input::request))
    request.context[input->name] = typed_value(text, *input, "--context " + input->name);
  const auto add_lists = [&](const std::string& option, const Texts& pairs, Input::Of of, auto& lists) {
    for (const auto& [input, text] : typed_pairs(option, pairs, manifest, of))
      for (const auto& part : split(text))
        lists[input->name].push_back(typed_value(part, *input, option + " " + input->name));
  };
  add_lists("--event", arguments.events, Input::event, request.events);
  add_lists("--candidate-feature", arguments.candidate_features, Input::candidate, request.candidate_features);
  for (const auto& pair : arguments.sequences) {
    const auto equals = pair.find('=');
    const auto name = pair.substr(0, equals);
    if (equals == std::string::npos || !manifest.has_sequence(name) || request.sequences.count(name))
      throw InputError("--sequence '" + pair + "' is not one of NAME=VALUE with a feature of the model, once: " +
                       manifest.sequence_names());
    request.sequences[name] =
        typed_ids(split_ids(pair.substr(equals + 1)), manifest.items, "--sequence " + name);
  }
  return request;
}

}  // namespace bst
