// Arrays by name, as they go into a signature and come out of it, and the two kinds of errors.
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

// A file was altered, or numbers differ: exit code 1.
struct CheckError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;
using Texts = std::vector<std::string>;

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
  // An id as a person reads it, quoted if it is text.
  std::string id(size_t place) const {
    if (values.index() == 2) return "'" + texts()[place] + "'";
    return std::to_string(ints()[place]);
  }
  bool same_id(size_t place, const Tensor& other, size_t there) const {
    return values.index() == 2 ? texts()[place] == other.texts()[there]
                               : ints()[place] == other.ints()[there];
  }
};

using Tensors = std::map<std::string, Tensor>;

inline std::string to_text(const Ints& shape) {
  std::string text = "[";
  for (size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

inline std::string join(const Texts& parts, const std::string& between) {
  std::string text;
  for (size_t place = 0; place < parts.size(); ++place) text += (place ? between : "") + parts[place];
  return text;
}

}  // namespace bst
