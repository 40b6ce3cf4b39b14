// A bundle: its manifest, its raw ids, and whether its files are those that the manifest lists.
#pragma once

#include <mutex>
#include <set>

#include "detail/files.hpp"
#include "detail/read_manifest.hpp"
#include "detail/vocabulary.hpp"

namespace bst {

namespace detail {

inline constexpr const char *kCard = "README.md", *kMissing = "is missing";

// The difference between a file and its record in the manifest; empty if there is none. A file of another
// size, which may be endless, is not read.
inline std::string difference(const fs::path& file, const FileRecord& stated) {
  std::error_code nowhere;
  if (!fs::exists(file, nowhere)) return kMissing;
  if (!fs::is_regular_file(file)) return "is not a file";
  const auto bytes = int64_t(fs::file_size(file));
  if (bytes != stated.bytes)
    return "is altered: it has " + with_commas(bytes) + " bytes, the manifest says " + with_commas(stated.bytes);
  const auto found = sha256(file);
  return found == stated.sha256 ? "" : "is altered: sha256 " + found + ", the manifest says " + stated.sha256;
}

}  // namespace detail

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
  // about to load. A link counts as its target. Golden vectors may be missing; README.md may be edited or
  // missing. Returns a line for each allowed difference. Throws CheckError that names the first other one.
  Texts check_files(const std::string& start = "") const {
    Texts offences, notes, left_out;
    for (const auto& record : manifest.files) {
      if (record.path.rfind(start, 0) != 0) continue;
      const auto difference = detail::difference(path / record.path, record);
      const bool is_card = record.path == detail::kCard, is_missing = difference == detail::kMissing;
      if (difference.empty() || (is_card && is_missing)) continue;
      if (is_card)
        notes.push_back(record.path + " was edited since the export; it is text for people");
      else if (is_missing && record.path.rfind("golden/", 0) == 0)
        left_out.push_back(record.path);
      else
        offences.push_back(record.path + " " + difference);
    }
    if (!offences.empty())
      throw CheckError(path.string() + ": " + shortened(offences, "; ") + "; export again or restore the files");
    if (!left_out.empty()) notes.push_back("left out, and not replayed: " + shortened(left_out, ", "));
    return notes;
  }

  // The files in the folder that the manifest does not list; a folder that holds nothing of the bundle once,
  // with a trailing slash.
  Texts strangers() const {
    std::set<std::string> listed{"manifest.json"}, folders, found;
    for (const auto& record : manifest.files) listed.insert(record.path);
    for (const auto& name : listed)
      for (auto folder = fs::path(name).parent_path(); !folder.empty(); folder = folder.parent_path())
        folders.insert(folder.generic_string());
    for (auto entry = fs::recursive_directory_iterator(path); entry != fs::end(entry); ++entry) {
      const auto name = entry->path().lexically_relative(path).generic_string();
      std::error_code nowhere;
      const bool is_folder = fs::is_directory(entry->path(), nowhere);
      if (entry->path().filename().string().rfind("..", 0) == 0) {  // a mounted volume's own: ..data, ..2026_01
        if (is_folder) entry.disable_recursion_pending();
        continue;
      }
      if (is_folder ? folders.count(name) : listed.count(name)) continue;
      found.insert(name + (is_folder ? "/" : ""));
      if (is_folder) entry.disable_recursion_pending();
    }
    return {found.begin(), found.end()};
  }

  const fs::path path;
  const Manifest manifest;

 private:
  mutable std::once_flag once_;
  mutable std::shared_ptr<const Vocabularies> vocabularies_;
};

}  // namespace bst
