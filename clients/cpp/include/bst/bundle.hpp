// A bundle: its manifest, its raw ids, and whether its files are those that the manifest lists.
#pragma once

#include <mutex>
#include <set>

#include "detail/files.hpp"
#include "detail/read_manifest.hpp"
#include "detail/vocabulary.hpp"

namespace bst {

class Bundle {
 public:
  // Reads the manifest. Throws InputError if the folder is no bundle that this version reads.
  explicit Bundle(fs::path folder) : path(std::move(folder)), manifest(read_manifest(path)) {}

  // The raw ids in the order of their indices. vocabulary.json is read at the first call, which may come from
  // any thread. Throws InputError if it is not the one that the manifest states.
  std::shared_ptr<const Vocabularies> vocabularies() const {
    std::call_once(once_, [this] {
      vocabularies_ = std::make_shared<const Vocabularies>(read_vocabularies(path, manifest));
    });
    return vocabularies_;
  }

  // Compare all files with the manifest, or only those whose path begins with `start`, which a caller is
  // about to load. Throws CheckError that names every one that is missing, not listed or altered.
  void check_files(const std::string& start = "") const {
    Texts offences, altered;
    for (const auto& record : manifest.files) {
      if (record.path.rfind(start, 0) != 0) continue;
      if (!fs::is_regular_file(path / record.path))
        offences.push_back(record.path + " is missing");
      else if (leads_out(path, record.path))
        offences.push_back(record.path + " leads out of the bundle");
      else if (const auto found = sha256(path / record.path);
               found != record.sha256 || int64_t(fs::file_size(path / record.path)) != record.bytes)
        altered.push_back(record.path + " is altered: sha256 " + found + ", the manifest says " +
                          record.sha256);
    }
    for (const auto& part : {strange_files(start), altered})
      offences.insert(offences.end(), part.begin(), part.end());
    if (!offences.empty())
      throw CheckError(path.string() + ": " + join(offences, "; ") + "; export again or restore the files");
  }

  const fs::path path;
  const Manifest manifest;

 private:
  Texts strange_files(const std::string& start) const {
    std::set<std::string> listed{"manifest.json"};
    for (const auto& record : manifest.files) listed.insert(record.path);
    Texts strange;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      const auto name = entry.path().lexically_relative(path).generic_string();
      const bool is_folder = entry.is_directory() && !entry.is_symlink();
      if (!is_folder && name.rfind(start, 0) == 0 && !listed.count(name))
        strange.push_back(name + " is not in the manifest");
    }
    return strange;
  }

  mutable std::once_flag once_;
  mutable std::shared_ptr<const Vocabularies> vocabularies_;
};

}  // namespace bst
