// Recommend for a user: example BUNDLE [ITEM_ID ...] [NAME=VALUE ...]
//
// Opens a bundle in ONNX Runtime, once, and asks for the best items after a history of raw ids, oldest first,
// and a context. Values that stand beside each item go with commas: kind=view,buy. In a server keep the
// `Recommender`: all threads may call it at once. For TorchScript and AOTInductor include <bst/libtorch.hpp>,
// and write `bst::LibTorch` for `bst::OnnxRuntime`.
#include <bst/onnxruntime.hpp>
#include <bst/recommender.hpp>
#include <iostream>
#include <sstream>

namespace {

// An id of a command line, as the model's data has it: text, or a number.
bst::Id to_id(const std::string& text, const bst::VocabularyFacts& facts) {
  if (facts.dtype == "string") return text;
  return int64_t{std::stoll(text)};
}

// A value of a command line; an empty text is one that is not known.
bst::Value to_value(const std::string& text, const bst::Input& input) {
  if (text.empty()) return {};
  if (input.kind == bst::Input::number) return std::stod(text);
  return std::visit([](const auto& id) { return bst::Value(id); }, to_id(text, input.facts));
}

struct User {
  bst::Ids history;
  bst::Context context;
  bst::Events events;
};

std::vector<bst::Value> to_values(const std::string& text, const bst::Input& input) {
  std::vector<bst::Value> values;
  std::stringstream parts(text + ",");
  for (std::string part; std::getline(parts, part, ',');) values.push_back(to_value(part, input));
  return values;
}

User read_user(int count, char** words, const bst::Manifest& manifest) {
  User user;
  for (const auto& word : bst::Texts(words, words + count)) {
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const bool is_pair = equals != std::string::npos;
    if (const auto* of_request = manifest.input(name, bst::Input::request); of_request && is_pair)
      user.context[name] = to_value(word.substr(equals + 1), *of_request);
    else if (const auto* of_events = manifest.input(name, bst::Input::event); of_events && is_pair)
      user.events[name] = to_values(word.substr(equals + 1), *of_events);
    else
      user.history.push_back(to_id(word, manifest.items));
  }
  return user;
}

void print(const bst::Recommendation& recommendation) {
  for (size_t place = 0; place < recommendation.item_ids.size(); ++place) {
    std::visit([](const auto& id) { std::cout << id; }, recommendation.item_ids[place]);
    std::cout << '\t' << recommendation.scores[place] << '\n';
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::cerr << "use: example BUNDLE [ITEM_ID ...] [NAME=VALUE ...]\n";
    return 2;
  }
  try {
    const bst::Bundle bundle(words[1]);
    bst::OnnxRuntime runtime;
    const bst::Recommender recommender(bundle, runtime);

    const User user = read_user(count - 2, words + 2, bundle.manifest);
    print(recommender.recommend(user.history, user.context, user.events));
  } catch (const bst::CheckError& error) {  // a file is altered, or cannot run here
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  } catch (const std::exception& error) {  // bad input
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  }
}
