// A bundle: what its manifest says, and whether its files are those that the manifest lists.
#pragma once

#include <openssl/evp.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "tensor.hpp"

namespace bst {

using Json = nlohmann::ordered_json;  // signatures and features have an order
namespace fs = std::filesystem;

const std::string kMajor = "4.";  // a later minor adds fields, which are ignored
constexpr double kTolerance = 1e-5;
constexpr int kMaxDepth = 32;

// An axis is a fixed size, or a name where any size from 1 up is accepted.
struct Axis {
  int64_t size = -1;
  std::string name;
};

struct TensorSpec {
  std::string name, dtype;
  std::vector<Axis> shape;
};

struct Signature {
  std::string name, ids;
  std::vector<TensorSpec> inputs, outputs;
  std::optional<int64_t> max_k;

  const TensorSpec* input(const std::string& wanted) const {
    for (const auto& spec : inputs)
      if (spec.name == wanted) return &spec;
    return nullptr;
  }
};

inline void from_json(const Json& value, Axis& axis) {
  if (value.is_string())
    value.get_to(axis.name);
  else
    value.get_to(axis.size);
}
inline void from_json(const Json& value, TensorSpec& spec) {
  value.at("name").get_to(spec.name);
  value.at("dtype").get_to(spec.dtype);
  value.at("shape").get_to(spec.shape);
  if (spec.shape.empty() || spec.shape.size() > 2)
    throw InputError(spec.name + " has " + std::to_string(spec.shape.size()) +
                     " axes, not 1 or 2; export again");
}
inline void from_json(const Json& value, Signature& signature) {
  value.at("name").get_to(signature.name);
  value.at("ids").get_to(signature.ids);
  value.at("inputs").get_to(signature.inputs);
  value.at("outputs").get_to(signature.outputs);
  if (!value.at("max_k").is_null()) signature.max_k = value.at("max_k").get<int64_t>();
  bool whole = !signature.inputs.empty() && !signature.outputs.empty();
  for (const auto& spec : signature.outputs) whole = whole && spec.shape.size() == 2;
  whole = whole && signature.max_k.has_value() == (signature.input("k") != nullptr);
  if (!whole)
    throw InputError("signature '" + signature.name + "' lacks inputs, outputs, axes or max_k; export again");
}

inline std::string to_text(const Signature& signature) {
  Texts stated;
  for (const auto& spec : signature.inputs) {
    Texts axes;
    for (const auto& axis : spec.shape)
      axes.push_back(axis.name.empty() ? std::to_string(axis.size) : "'" + axis.name + "'");
    stated.push_back(spec.name + " " + spec.dtype + " [" + join(axes, ", ") + "]");
  }
  return signature.name + " takes " + join(stated, ", ");
}

inline Json read_json(const fs::path& path, const std::string& what) {
  std::ifstream file(path);
  if (!file) throw InputError(path.string() + " cannot be read; give " + what);
  // Json is walked by functions that call themselves: what is nested deeper would end the process.
  const auto bounded = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw InputError(path.string() + " is nested too deep; export again");
    return true;
  };
  try {
    return Json::parse(file, bounded);
  } catch (const Json::exception& error) {
    throw InputError(path.string() + " is not JSON (" + error.what() + "); export again");
  }
}

inline std::string sha256(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw CheckError(path.string() + " cannot be read; restore it");
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  std::vector<char> part(1 << 20);
  while (file.read(part.data(), part.size()) || file.gcount() > 0)
    EVP_DigestUpdate(digest.get(), part.data(), file.gcount());
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int count = 0;
  EVP_DigestFinal_ex(digest.get(), bytes, &count);
  std::string text;
  for (unsigned int place = 0; place < count; ++place) {
    text += "0123456789abcdef"[bytes[place] >> 4];
    text += "0123456789abcdef"[bytes[place] & 15];
  }
  return text;
}

class Bundle {
 public:
  // Throws InputError if the folder is not a bundle of this schema, or its manifest states what it must not.
  explicit Bundle(fs::path folder) : path(std::move(folder)) {
    manifest = read_json(path / "manifest.json", "a bundle (a folder that `bst export` writes)");
    const auto version = manifest.is_object() ? manifest.value("schema_version", Json()) : Json();
    if (!version.is_string() || version.get<std::string>().rfind(kMajor, 0) != 0)
      throw InputError(path.string() + ": schema_version=" + version.dump() + ", this version reads " + kMajor +
                       "*; export again");
    try {
      refuse_offences();
    } catch (const Json::exception& error) {
      throw InputError((path / "manifest.json").string() + ": " + error.what() + "; export again");
    }
  }

  // The format of that name, or null.
  const Json* format(const std::string& name) const {
    for (const auto& record : manifest.at("formats"))
      if (record.at("name") == name) return &record;
    return nullptr;
  }

  Signature signature(const std::string& name, const std::string& ids) const {
    std::string known;
    for (const auto& value : manifest.at("signatures")) {
      if (value.at("ids") != ids) continue;
      if (value.at("name") == name) return value.get<Signature>();
      known += (known.empty() ? "" : ", ") + value.at("name").get<std::string>();
    }
    throw InputError("signature '" + name + "' is not in the bundle; known: " + known);
  }

  // Compare all files with the manifest, or only those below `folder`, which a caller is about to load.
  // Throws CheckError that names every one that is missing, not listed or altered.
  void check_files(const std::string& folder = "") const {
    Texts missing, altered, strange;
    std::set<std::string> listed{"manifest.json"};
    for (const auto& record : manifest.at("files")) {
      const auto name = record.at("path").get<std::string>();
      listed.insert(name);
      if (name.rfind(folder, 0) != 0) continue;
      if (!fs::is_regular_file(path / name)) {
        missing.push_back(name + " is missing");
        continue;
      }
      if (*fs::relative(path / name, path).begin() == "..") {  // by a link
        missing.push_back(name + " leads out of the bundle");
        continue;
      }
      const auto found = sha256(path / name), stated = record.at("sha256").get<std::string>();
      if (found != stated || fs::file_size(path / name) != record.at("bytes").get<uintmax_t>())
        altered.push_back(name + " is altered: sha256 " + found + ", the manifest says " + stated);
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      const auto name = entry.path().lexically_relative(path).generic_string();
      const bool is_folder = entry.is_directory() && !entry.is_symlink();
      if (!is_folder && name.rfind(folder, 0) == 0 && !listed.count(name))
        strange.push_back(name + " is not in the manifest");
    }
    missing.insert(missing.end(), strange.begin(), strange.end());
    missing.insert(missing.end(), altered.begin(), altered.end());
    if (!missing.empty())
      throw CheckError(path.string() + ": " + join(missing, "; ") + "; export again or restore the files");
  }

  double tolerance() const { return manifest.at("tolerance"); }

  const fs::path path;
  Json manifest;

 private:
  void refuse_offences() const {
    Texts found;
    std::set<std::string> listed, named;
    for (const auto& record : manifest.at("files")) listed.insert(record.at("path").get<std::string>());
    bool whole = !manifest.at("formats").empty();
    for (const auto& record : manifest.at("formats")) {
      whole = whole && !record.at("entries").empty();
      for (const auto& [name, entry] : record.at("entries").items()) {
        named.insert(entry.at("path").get<std::string>());
        named.insert(record.at("golden").get<std::string>() + "/" + name + ".json");
      }
    }
    for (const auto& name : named)
      if (!listed.count(name)) found.push_back(name + " is not among its files");
    for (const auto& name : listed) {
      const fs::path inside(name);
      const bool climbs = std::find(inside.begin(), inside.end(), "..") != inside.end();
      if (inside.is_absolute() || climbs) found.push_back(name + " leads out of the bundle");
    }
    if (!whole) found.push_back("it holds no format or no signature");
    const double bound = manifest.at("tolerance");
    if (!(bound > 0 && bound <= kTolerance)) found.push_back("tolerance is not above 0 and at most 1e-05");
    if (!found.empty())
      throw InputError((path / "manifest.json").string() + ": " + join(found, "; ") + "; export again");
  }
};

}  // namespace bst
