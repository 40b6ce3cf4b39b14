// Files and their hashes.
#pragma once

#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "../tensor.hpp"

namespace bst {

namespace fs = std::filesystem;

// Throws CheckError if the file cannot be read.
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

namespace detail {

// Whether a path of a manifest stays within its bundle.
inline bool is_inside(const std::string& path) {
  if (path.find_first_of(std::string("\\:\0", 3)) != std::string::npos) return false;
  std::stringstream parts(path + "/");
  for (std::string part; std::getline(parts, part, '/');)
    if (part.empty() || part == "." || part == "..") return false;
  return true;
}

}  // namespace detail
}  // namespace bst
