// A runtime that knows no model: for any user the best items are the last of the history and the one before
// it in the vocabulary. Shows what passes between a `Recommender` and a runtime, from several threads.
#include <bst/recommender.hpp>
#include <iostream>
#include <limits>
#include <thread>

namespace {

class LastTwo : public bst::Session {
 public:
  bst::Tensors run(const bst::Tensors& inputs) override {
    const auto last = inputs.at("items").ints().back();
    return {{"item_indices", {{1, 3}, bst::Ints{last, last - 1, 0}}},
            {"scores", {{1, 3}, bst::Floats{2, 1, -std::numeric_limits<float>::infinity()}}}};
  }
};

class OwnRuntime : public bst::Runtime {
 public:
  std::string library() const override { return "own"; }
  std::string version() const override { return "1.0"; }
  bst::Texts formats() const override { return {"onnx"}; }
  std::unique_ptr<bst::Session> open(const bst::Bundle&, const bst::Format&, const bst::Signature&,
                                     int) override {
    return std::make_unique<LastTwo>();
  }
};

std::unique_ptr<bst::Recommender> load(const char* path) {
  const bst::Bundle bundle(path);
  OwnRuntime runtime;
  return std::make_unique<bst::Recommender>(bundle, runtime);
}

}  // namespace

int main(int, char** words) {
  const auto recommender = load(words[1]);
  bst::fs::remove(bst::fs::path(words[1]) / "vocabulary.json");  // it was read when the bundle was loaded
  std::vector<std::thread> threads;
  std::vector<bst::Recommendation> answers(4);
  for (auto& answer : answers)
    threads.emplace_back([&] { answer = recommender->recommend({words[2]}, {{"gender", "F"}}); });
  for (auto& thread : threads) thread.join();
  for (const auto& answer : answers)
    for (const auto& id : answer.item_ids) std::cout << bst::to_text(id) << ' ';
  std::cout << '\n';
  for (const bst::Context& context : {bst::Context{{"colour", "red"}}, bst::Context{{"gender", 1}}}) try {
      recommender->recommend({}, context);
    } catch (const bst::InputError& error) {
      std::cout << error.what() << '\n';
    }
}
