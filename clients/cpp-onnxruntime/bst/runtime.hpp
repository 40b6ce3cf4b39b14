// What a client brings: a runtime that loads a signature and runs it, and the guards around it.
#pragma once

#include <sys/utsname.h>

#include <sstream>

#include "inputs.hpp"
#include "parity.hpp"

namespace bst {

// One signature, loaded.
class Session {
 public:
  virtual ~Session() = default;
  // Inputs are those of the signature, checked; throws the runtime's own errors.
  virtual Tensors run(const Tensors& inputs) = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::string client() const = 0;
  // Name and version of the library that runs the formats.
  virtual std::pair<std::string, std::string> library() const = 0;
  // The formats that it runs; the first that a bundle holds is taken if none is asked for.
  virtual Texts formats() const = 0;
  // Load a signature; 0 threads leave their number to the bundle or the library.
  virtual std::unique_ptr<Session> open(const Bundle& bundle, const Json& format, const Signature& signature,
                                        int threads) = 0;
};

inline std::vector<int> version_numbers(const std::string& version) {
  std::vector<int> numbers;
  std::stringstream stream(version.substr(0, version.find('+')));
  for (std::string part; std::getline(stream, part, '.');) numbers.push_back(std::atoi(part.c_str()));
  return numbers;
}

// Why a format cannot run here and must not be loaded: machine code for a missing CPU feature ends the
// process.
inline void refuse_obstacles(const Bundle& bundle, const Json& format, const Runtime& runtime) {
  const auto& needs = format.at("needs");
  const auto [library, version] = runtime.library();
  Texts found;
  if (!needs.at("machine").is_null()) {
    utsname machine{};
    uname(&machine);
    if (needs.at("machine") != machine.machine)
      found.push_back("is machine code for " + needs.at("machine").get<std::string>() + ", this machine is " +
                      machine.machine);
    std::set<std::string> flags;
    std::ifstream cpuinfo("/proc/cpuinfo");
    for (std::string line; std::getline(cpuinfo, line) && flags.empty();)
      if (line.rfind("flags", 0) == 0) {
        std::stringstream words(line);
        for (std::string word; words >> word;) flags.insert(word);
      }
    Texts missing;
    for (const auto& flag : needs.at("cpu_flags"))
      if (!flags.count(flag)) missing.push_back(flag);
    if (!missing.empty())
      found.push_back("needs the CPU features " + join(missing, ", ") +
                      ", which this CPU has not; export again here");
  }
  if (const auto least = needs.at("at_least").value(library, "");
      version_numbers(version) < version_numbers(least))
    found.push_back("needs " + library + " " + least + ", here is " + version + "; update it");
  if (!found.empty())
    throw CheckError(bundle.path.string() + ": " + format.at("name").get<std::string>() + " " +
                     join(found, "; "));
}

// Load a signature; what the runtime says against the file is a check that failed.
inline std::unique_ptr<Session> open_session(const Bundle& bundle, const Json& format,
                                             const Signature& signature, Runtime& runtime, int threads = 0) {
  try {
    return runtime.open(bundle, format, signature, threads);
  } catch (const CheckError&) {
    throw;
  } catch (const std::exception& error) {
    const auto told = std::string(error.what());
    throw CheckError(bundle.path.string() + ": " + signature.name + " does not load in " +
                     runtime.library().first + " (" + told.substr(0, told.find('\n')) + "); export again");
  }
}

inline Tensors call(Session& session, const Signature& signature, const Tensors& inputs) {
  check_inputs(signature, inputs);
  try {
    return session.run(inputs);
  } catch (const std::exception& error) {
    const auto told = std::string(error.what());
    throw CheckError(signature.name + " fails in its runtime: " + told.substr(0, told.find('\n')));
  }
}

}  // namespace bst
