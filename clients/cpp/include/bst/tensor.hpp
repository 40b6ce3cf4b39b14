// Ids, arrays by name as they go into a signature and come out of it, and the two kinds of errors.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace bst {

// Bad input or misuse: exit code 2.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A file was altered, numbers differ, or the runtime cannot run the file: exit code 1.
struct CheckError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;
using Texts = std::vector<std::string>;

// A raw id, as it stands in the data: a number or text (UTF-8).
using Id = std::variant<int64_t, std::string>;
using Ids = std::vector<Id>;

// A value of an input beside the history: a category, as an `Id`; a time in seconds since 1970; a number.
// `Value()` is one that is not known.
using Value = std::variant<std::monostate, int64_t, std::string, double>;

// Values row by row. The dtype of the manifest is the alternative: int64, float32, string.
struct Tensor {
  Ints shape;
  std::variant<Ints, Floats, Texts> values;

  const Ints& ints() const { return std::get<Ints>(values); }
  const Floats& floats() const { return std::get<Floats>(values); }
  const Texts& texts() const { return std::get<Texts>(values); }
  const char* dtype() const {
    static constexpr const char* kNames[] = {"int64", "float32", "string"};
    return kNames[values.index()];
  }
  size_t size() const {
    return std::visit([](const auto& data) { return data.size(); }, values);
  }
  // The id at a place of a tensor of ids.
  Id id(size_t place) const { return values.index() == 2 ? Id(texts().at(place)) : Id(ints().at(place)); }
};

using Tensors = std::map<std::string, Tensor>;

inline std::string to_text(const Ints& shape) {
  std::string text = "[";
  for (size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

// An id as a person reads it, quoted if it is text.
inline std::string to_text(const Id& id) {
  if (const auto* text = std::get_if<std::string>(&id)) return "'" + *text + "'";
  return std::to_string(std::get<int64_t>(id));
}

// A number as people write it, such as 1,234,567.
inline std::string with_commas(int64_t number) {
  auto digits = std::to_string(number);
  for (int place = int(digits.size()) - 3; place > (number < 0); place -= 3) digits.insert(place, ",");
  return digits;
}

inline std::string join(const Texts& parts, const std::string& between) {
  std::string text;
  for (size_t place = 0; place < parts.size(); ++place) text += (place ? between : "") + parts[place];
  return text;
}

// The first five parts, and how many more there are.
inline std::string shortened(Texts parts, const std::string& between) {
  const size_t shown = 5, more = parts.size() > shown ? parts.size() - shown : 0;
  if (more) parts.resize(shown), parts.push_back("and " + with_commas(int64_t(more)) + " more");
  return join(parts, between);
}

inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace bst
