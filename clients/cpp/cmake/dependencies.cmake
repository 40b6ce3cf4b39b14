# What the headers include: OpenSSL for SHA-256 (Debian: libssl-dev), nlohmann-json (Debian: nlohmann-json3-dev).
include(CMakeFindDependencyMacro)
find_dependency(OpenSSL)
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_path(JSON_INCLUDE nlohmann/json.hpp REQUIRED)
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED GLOBAL)
  target_include_directories(nlohmann_json::nlohmann_json INTERFACE "${JSON_INCLUDE}")
endif()
