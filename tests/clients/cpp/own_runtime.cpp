// Runtimes that know no model. They show what passes between a `Recommender` and a runtime.
#include <bst/recommender.hpp>
#include <bst/verify.hpp>
#include <iostream>
#include <limits>
#include <thread>

namespace {

// For any user the best items are the last of the history and the one before it in the vocabulary.
class LastTwo : public bst::Session {
 public:
  bst::Tensors run(const bst::Tensors& inputs) override {
    const auto last = inputs.at("items").ints().back();
    return {{"item_indices", {{1, 3}, bst::Ints{last, last - 1, 0}}},
            {"scores", {{1, 3}, bst::Floats{2, 1, -std::numeric_limits<float>::infinity()}}}};
  }
};

// Prints its inputs, a line each, and gives the same answer to all.
class Printer : public bst::Session {
 public:
  explicit Printer(bst::Signature signature) : signature_(std::move(signature)) {}

  bst::Tensors run(const bst::Tensors& inputs) override {
    for (const auto& spec : signature_.inputs) {
      const auto& tensor = inputs.at(spec.name);
      std::cout << spec.name << ' ' << tensor.dtype() << ' ' << bst::to_text(tensor.shape);
      const auto print = [](const auto& values) {
        for (const auto& value : values) std::cout << ' ' << value;
      };
      std::visit(print, tensor.values);
      std::cout << '\n';
    }
    const float nothing = -std::numeric_limits<float>::infinity();
    return {{signature_.outputs[0].name, {{1, 5}, bst::Ints{1, 2, 0, 0, 0}}},
            {"scores", {{1, 5}, bst::Floats{2, 1, nothing, nothing, nothing}}}};
  }

 private:
  const bst::Signature signature_;
};

class OwnRuntime : public bst::Runtime {
 public:
  std::string library() const override { return "own"; }
  std::string version() const override { return "1.0"; }
  bst::Texts formats() const override { return {"onnx"}; }
  std::unique_ptr<bst::Session> open(const bst::Bundle& bundle, const bst::Format&,
                                     const bst::Signature& signature, int) override {
    if (bundle.manifest.input("channel", bst::Input::event)) return std::make_unique<Printer>(signature);
    return std::make_unique<LastTwo>();
  }
};

std::unique_ptr<bst::Recommender> load(const char* path) {
  const bst::Bundle bundle(path);
  OwnRuntime runtime;
  return std::make_unique<bst::Recommender>(bundle, runtime);
}

void recommend_from_threads(const char* path, const char* item) {
  const auto recommender = load(path);
  bst::fs::remove(bst::fs::path(path) / "vocabulary.json");  // it was read when the bundle was loaded
  std::vector<std::thread> threads;
  std::vector<bst::Recommendation> answers(4);
  for (auto& answer : answers)
    threads.emplace_back([&] { answer = recommender->recommend({item}, {{"gender", "F"}}); });
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

// With all inputs, then with none, then as recorded, then with each of the errors.
void print_inputs(const char* path) {
  const auto recommender = load(path);
  const bst::Ids history{101, 999, 103};
  recommender->recommend(history, {{"gender", "F"}, {"age", 31.5}, {"request_time", 1700000500}},
                         {{"kind", {"view", bst::Value(), "sold"}},
                          {"channel", {20, 30, bst::Value()}},
                          {"event_time", {1700000000, bst::Value(), 1700000400}}});
  recommender->recommend({});
  const bst::Bundle bundle(path);
  OwnRuntime runtime;
  const auto report = bst::verify(bundle, runtime);
  std::cout << "verify: " << report.failure << '\n';
  const std::vector<std::pair<bst::Context, bst::Events>> errors{
      {{{"colour", "red"}}, {}},
      {{}, {{"age", {1, 2, 3}}}},
      {{}, {{"kind", {"view", "buy"}}}},
      {{}, {{"channel", {"web", 20, 20}}}},
      {{}, {{"event_time", {1700000000, 0.5, 1700000400}}}},
      {{{"request_time", "noon"}}, {}},
      {{{"region", 2.0}}, {}},
      {{{"age", "old"}}, {}},
      {{{"age", -1e39}}, {}},
  };
  for (const auto& [context, events] : errors) try {
      recommender->recommend(history, context, events);
    } catch (const bst::InputError& error) {
      std::cout << error.what() << '\n';
    }
}

}  // namespace

int main(int count, char** words) {
  if (count == 3)
    recommend_from_threads(words[1], words[2]);
  else
    print_inputs(words[1]);
}
