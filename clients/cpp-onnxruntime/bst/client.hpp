// The command line. What runs a file stands in main.cpp, as a `Runtime`.
#pragma once

#include <iostream>

#include "commands.hpp"

namespace bst {

struct Arguments {
  std::string command;
  fs::path bundle;
  Request request;
  std::string format, golden_case = "full";
  int64_t calls = 2000;
};

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

// A count, whose bundle or use says what else it must be.
inline int64_t whole_number(const std::string& option, const std::string& text, int64_t least) {
  const bool digits =
      !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoll(text) < least)
    throw InputError(option + " " + text + " is not a whole number from 1 to 999999999; give such as " +
                     option + " 10");
  return std::stoll(text);
}

inline Arguments parse_arguments(int count, char** given) {
  static const std::string kUsage =
      "use: recommend|score|verify|bench BUNDLE [--history ID,..] [--context NAME=VALUE,..] "
      "[--candidates ID,..] [--k N] [--format NAME] [--case NAME] [--calls N]";
  static const std::map<std::string, std::set<std::string>> kOptions{
      {"recommend", {"--history", "--context", "--k", "--format"}},
      {"score", {"--history", "--context", "--candidates", "--format"}},
      {"verify", {"--format"}},
      {"bench", {"--case", "--calls", "--format"}}};
  const Texts words(given + 1, given + count);
  if (words.size() < 2 || !kOptions.count(words[0]) || words[1].empty()) throw InputError(kUsage);
  Arguments arguments{words[0], words[1], {}, ""};
  for (size_t place = 2; place < words.size(); place += 2) {
    const auto& option = words[place];
    if (!kOptions.at(words[0]).count(option))
      throw InputError(option + " is not an option of " + words[0] + "; " + kUsage);
    if (place + 1 == words.size()) throw InputError(option + " has no value; " + kUsage);
    const auto& value = words[place + 1];
    if (option == "--history")
      arguments.request.history = split_ids(value);
    else if (option == "--candidates")
      arguments.request.candidates = split_ids(value);
    else if (option == "--k")
      arguments.request.k = whole_number(option, value, 0);
    else if (option == "--format")
      arguments.format = value;
    else if (option == "--case")
      arguments.golden_case = value;
    else if (option == "--calls")
      arguments.calls = whole_number(option, value, 1);
    else if (option == "--context") {
      for (const auto& pair : split(value)) {
        const auto equals = pair.find('=');
        const bool once =
            equals != std::string::npos &&
            arguments.request.context.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second;
        if (!once) throw InputError("--context '" + pair + "' is not one of NAME=VALUE, each name once");
      }
    }
  }
  return arguments;
}

// The whole program: exit code 0 done, 1 a check failed, 2 bad input; one line on stderr with 1 and 2.
inline int run_client(int count, char** given, Runtime& runtime) {
  const auto refused = [](const std::string& message, int code) {
    std::cerr << "error: " << message.substr(0, message.find('\n')) << '\n';
    return code;
  };
  try {
    const auto arguments = parse_arguments(count, given);
    const Bundle bundle(arguments.bundle);
    Json told;
    if (arguments.command == "verify") {
      told = verify(bundle, runtime, arguments.format);
    } else {
      const Json& format = chosen_format(bundle, runtime, arguments.format);
      if (arguments.command == "recommend") told = recommend(bundle, format, runtime, arguments.request);
      if (arguments.command == "score") told = score(bundle, format, runtime, arguments.request);
      if (arguments.command == "bench")
        told = bench(bundle, format, runtime, arguments.golden_case, arguments.calls);
    }
    if (!(std::cout << told.dump() << std::endl)) return refused("the answer cannot be written to stdout", 2);
    return told.value("ok", true) ? 0 : refused(told["failure"], 1);
  } catch (const CheckError& error) {
    return refused(error.what(), 1);
  } catch (const std::exception& error) {
    return refused(error.what(), 2);
  }
}

}  // namespace bst
