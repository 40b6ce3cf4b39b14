// Untrusted JSON: bounded, and read by name, so that an error says where it is.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../tensor.hpp"

namespace bst {

using Json = nlohmann::ordered_json;  // signatures and features have an order
namespace fs = std::filesystem;

constexpr int kMaxDepth = 64;

inline Json read_json(const fs::path& path) {
  std::ifstream file;
  if (fs::is_regular_file(path)) file.open(path);  // a pipe would never end
  if (!file.is_open())
    throw InputError(path.string() + " cannot be read; give a bundle (a folder that `bst export` writes)");
  // Json is walked by recursion: deeper nesting would end the process.
  const auto bounded = [&](int depth, Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) throw InputError(path.string() + " is nested too deep; export again");
    return true;
  };
  try {
    return Json::parse(file, bounded);
  } catch (const Json::exception& error) {
    throw InputError(path.string() + " is not JSON (" + error.what() + "); export again");
  }
}

inline bool is_integer(const Json& value) {
  const bool too_large = value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX);
  return value.is_number_integer() && !too_large;
}

// An error in a JSON file, with its place; the readers of files add the path.
struct FieldError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value in a JSON file, and its place there. Throws FieldError if it is missing or of another kind than
// asked for.
class Field {
 public:
  explicit Field(const Json& value, std::string place = "") : value_(value), place_(std::move(place)) {}

  bool null() const { return value_.is_null(); }
  bool is_text() const { return value_.is_string(); }
  Field at(const std::string& key) const {
    if (!value_.is_object()) refuse("is no object");
    const auto found = value_.find(key);
    if (found == value_.end()) refuse("lacks " + key);
    return Field(*found, place_.empty() ? key : place_ + "." + key);
  }
  std::string text() const { return value_.is_string() ? value_.get<std::string>() : refuse("is no text"); }
  bool flag() const {
    if (!value_.is_boolean()) refuse("is neither true nor false");
    return value_.get<bool>();
  }
  double number() const {
    if (!value_.is_number()) refuse("is no number");
    return value_.get<double>();
  }
  int64_t integer() const {
    if (!is_integer(value_)) refuse("is no integer of 64 bits");
    return value_.get<int64_t>();
  }
  Id id() const { return is_text() ? Id(text()) : Id(integer()); }

  const Json& json() const { return value_; }
  // An array as it is, for those with millions of elements.
  const Json& array() const {
    if (!value_.is_array()) refuse("is no array");
    return value_;
  }
  // The elements of an array.
  std::vector<Field> list() const {
    std::vector<Field> fields;
    for (const auto& one : array()) fields.emplace_back(one, place_ + "." + std::to_string(fields.size()));
    return fields;
  }
  Texts texts() const {
    Texts found;
    for (const auto& one : list()) found.push_back(one.text());
    return found;
  }
  // The names in an object, in the order of the file.
  Texts keys() const {
    if (!value_.is_object()) refuse("is no object");
    Texts found;
    for (const auto& [name, value] : value_.items()) found.push_back(name);
    return found;
  }

  [[noreturn]] std::string refuse(const std::string& offence) const {
    throw FieldError((place_.empty() ? "it" : place_) + " " + offence);
  }

 private:
  const Json& value_;
  std::string place_;
};

// Read a JSON file into a value that `read` makes of it. Throws InputError with the path if the file is
// missing, is no plain file, is not JSON, is nested too deep or holds what it must not.
template <typename Read>
auto read_file(const fs::path& path, const std::string& what, const Read& read) {
  Json json = read_json(path);
  try {
    return read(json);
  } catch (const FieldError& error) {
    throw InputError(path.string() + " is not " + what + " (" + error.what() + "); export again");
  }
}

}  // namespace bst
