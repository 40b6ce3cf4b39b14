// The interface of a runtime, and the guards around it. `bst::OnnxRuntime` and `bst::LibTorch` implement it.
#pragma once

#include <sys/utsname.h>

#include <iterator>
#include <sstream>

#include "bundle.hpp"

namespace bst {

// One signature, loaded.
class Session {
 public:
  virtual ~Session() = default;
  // Inputs are those of the signature, checked. May be called from several threads at once. Throws the
  // runtime's own errors.
  virtual Tensors run(const Tensors& inputs) = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Name and version of the library that runs the formats.
  virtual std::string library() const = 0;
  virtual std::string version() const = 0;
  // The formats that it runs; the default is the first that a bundle holds.
  virtual Texts formats() const = 0;
  // Load a signature; 0 threads leave their number to the bundle or the library. The session may outlive
  // bundle and runtime.
  virtual std::unique_ptr<Session> open(const Bundle& bundle, const Format& format,
                                        const Signature& signature, int threads) = 0;
};

namespace detail {

inline std::vector<int> version_numbers(const std::string& version) {
  std::vector<int> numbers;
  std::stringstream stream(version.substr(0, version.find('+')));
  for (std::string part; std::getline(stream, part, '.');) numbers.push_back(std::atoi(part.c_str()));
  return numbers;
}

// The features of this CPU, as Linux names them.
inline std::set<std::string> cpu_flags() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);)
    if (line.rfind("flags", 0) == 0) {
      std::stringstream words(line);
      return {std::istream_iterator<std::string>(words), {}};
    }
  return {};
}

inline Texts obstacles(const Needs& needs, const Runtime& runtime) {
  Texts found, missing;
  utsname machine{};
  uname(&machine);
  if (!needs.machine.empty() && needs.machine != machine.machine)
    found.push_back("is machine code for " + needs.machine + ", this machine is " + machine.machine);
  if (!needs.cpu_flags.empty()) {
    const auto flags = cpu_flags();
    for (const auto& flag : needs.cpu_flags)
      if (!flags.count(flag)) missing.push_back(flag);
  }
  if (!missing.empty())
    found.push_back("needs the CPU features " + join(missing, ", ") +
                    ", which this CPU has not; export again here");
  const auto least = needs.at_least.find(runtime.library());
  if (least != needs.at_least.end() && version_numbers(runtime.version()) < version_numbers(least->second))
    found.push_back("needs " + runtime.library() + " " + least->second + ", here is " + runtime.version() +
                    "; update it");
  return found;
}

}  // namespace detail

// Throws CheckError if a format cannot run here. It must not be loaded then: machine code for a missing CPU
// feature ends the process.
inline void refuse_obstacles(const Bundle& bundle, const Format& format, const Runtime& runtime) {
  if (const auto found = detail::obstacles(format.needs, runtime); !found.empty())
    throw CheckError(bundle.path.string() + ": " + format.name + " " + join(found, "; "));
}

// The format that a runtime runs, `asked` or the first that the bundle holds, with its files compared with
// their hashes. Throws InputError if there is none, CheckError if a file is altered or cannot run here.
inline const Format& choose_format(const Bundle& bundle, const Runtime& runtime,
                                   const std::string& asked = "") {
  for (const auto& name : runtime.formats())
    if (const auto* format = bundle.manifest.format(name); format && (asked.empty() || asked == name)) {
      std::set<std::string> folders;  // entries share one, and the weights that lie in it
      for (const auto& [signature, file] : format->entries)
        folders.insert(file.substr(0, file.rfind('/') + 1));
      for (const auto& folder : folders) bundle.check_files(folder);
      if (format->ids == "index" || bundle.manifest.items.named)
        bundle.check_files("vocabulary.json");  // ids, or names, are looked up here
      refuse_obstacles(bundle, *format, runtime);
      return *format;
    }
  Texts held;
  for (const auto& format : bundle.manifest.formats) held.push_back(format.name);
  throw InputError("of the formats in the bundle (" + join(held, ", ") + ") this client runs " +
                   (asked.empty() ? "none; it knows " : "no " + asked + "; it knows ") +
                   join(runtime.formats(), ", "));
}

// A signature of a bundle as a function: inputs that do not fit are refused before the runtime is called.
class Function {
 public:
  // Throws CheckError if the file does not load; `threads` as in `Runtime::open`.
  Function(const Bundle& bundle, const Format& format, const std::string& name, Runtime& runtime,
           int threads = 0)
      : signature_(bundle.manifest.signature(name, format.ids)) {
    try {
      session_ = runtime.open(bundle, format, signature_, threads);
    } catch (const CheckError&) {
      throw;
    } catch (const std::exception& error) {
      throw CheckError(bundle.path.string() + ": " + name + " does not load in " + runtime.library() + " (" +
                       first_line(error.what()) + "); export again");
    }
  }

  const Signature& signature() const { return signature_; }

  // Throws InputError if the inputs do not fit the signature, CheckError if the runtime fails.
  Tensors operator()(const Tensors& inputs) const {
    check_inputs(signature_, inputs);
    try {
      return session_->run(inputs);
    } catch (const std::exception& error) {
      throw CheckError(signature_.name + " fails in its runtime: " + first_line(error.what()));
    }
  }

 private:
  const Signature signature_;
  std::unique_ptr<Session> session_;
};

}  // namespace bst
