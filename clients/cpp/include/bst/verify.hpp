// Verification: the files of a bundle against its manifest, its answers against the recorded ones.
#pragma once

#include <optional>

#include "detail/golden.hpp"
#include "detail/parity.hpp"
#include "runtime.hpp"

namespace bst {

// The golden calls of one signature in one format; `max_error` is relative to the largest score of a call, and
// missing without a call: the golden file is missing, and the signature was only loaded.
struct Verdict {
  std::string format, signature;
  int64_t cases = 0, rows = 0;
  std::optional<double> max_error;
  int64_t swaps = 0;
};

// The result of `verify`; `failure` is empty if the bundle is whole.
struct Report {
  std::vector<Verdict> verdicts;
  Texts warnings;
  std::string failure;
};

namespace detail {

inline std::vector<GoldenCase> golden_to_replay(const Bundle& bundle, const Format& format,
                                                const Signature& signature) {
  const auto recorded = format.golden + "/" + signature.name + ".json";
  std::error_code nowhere;
  const auto& files = bundle.manifest.files;  // another file of that name proves nothing
  const bool listed =
      std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.path == recorded; });
  if (!listed || !fs::exists(golden_file(bundle, format, signature), nowhere)) return {};
  try {
    auto golden = read_golden(bundle, format, signature);
    if (!golden.empty()) return golden;
  } catch (const InputError& error) {  // as any file of a bundle
    throw CheckError(error.what());
  }
  throw CheckError(bundle.path.string() + ": there is no golden case of " + signature.name +
                   " to replay; export again");
}

// Replay the golden calls of one signature. Throws CheckError that names the worst of those that fail.
inline Verdict replay(const Bundle& bundle, const Format& format, const std::string& name, Runtime& runtime) {
  const auto golden = golden_to_replay(bundle, format, bundle.manifest.signature(name, format.ids));
  const Function function(bundle, format, name, runtime);
  const auto& signature = function.signature();
  Comparison worst{-1, 0, ""};
  Verdict verdict{format.name, name, int64_t(golden.size()), 0, {}, 0};
  if (golden.empty()) return verdict;
  size_t where = 0, failed = 0;
  for (size_t place = 0; place < golden.size(); ++place) {
    const auto& [called, inputs, outputs] = golden[place];
    const auto found = compare(signature, outputs, function(inputs), bundle.manifest.tolerance);
    verdict.rows += outputs.at(signature.outputs.back().name).shape[0];
    verdict.swaps += found.swaps;
    failed += !found.failure.empty();
    if (std::pair(!found.failure.empty(), found.error) > std::pair(!worst.failure.empty(), worst.error))
      worst = found, where = place;
  }
  if (failed)
    throw CheckError(bundle.path.string() + ": " + format.name + ", " + name + ", golden case '" +
                     golden[where].name + "': " + worst.failure + " (" + std::to_string(failed) + " of " +
                     std::to_string(golden.size()) + " calls fail)");
  verdict.max_error = worst.error;
  return verdict;
}

}  // namespace detail

// Compare all files with their hashes and replay the golden calls, in the formats that the runtime runs or in
// `asked`. An error of the bundle is the report's failure; throws InputError if it holds no such format.
inline Report verify(const Bundle& bundle, Runtime& runtime, const std::string& asked = "") {
  Report report;
  try {
    auto notes = bundle.check_files();
    if (const auto strangers = bundle.strangers(); !strangers.empty())
      notes.push_back("not of the bundle, and left alone: " + shortened(strangers, ", "));
    for (const auto& name : runtime.formats()) {
      const auto* format = bundle.manifest.format(name);
      if (!format || (!asked.empty() && asked != name)) continue;
      refuse_obstacles(bundle, *format, runtime);
      for (const auto& remark : format->needs.remarks) report.warnings.push_back(name + ": " + remark);
      for (const auto& [signature, file] : format->entries)
        report.verdicts.push_back(detail::replay(bundle, *format, signature, runtime));
    }
    report.warnings.insert(report.warnings.end(), notes.begin(), notes.end());
    if (report.verdicts.empty()) choose_format(bundle, runtime, asked);  // says what is there
  } catch (const CheckError& error) {
    report.failure = error.what();
  }
  return report;
}

}  // namespace bst
