// A bundle's TorchScript archive, or the packages that AOTInductor compiled, in LibTorch.
#pragma once

#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/script.h>
#include <torch/version.h>

#include "runtime.hpp"

namespace bst {
namespace detail {

// A view of the caller's numbers, contiguous, and of the dtype that the signature states: AOTInductor reads
// other memory as if it were that.
inline at::Tensor wrap(const Tensor& tensor) {
  if (tensor.values.index() == 1)
    return at::from_blob(const_cast<float*>(tensor.floats().data()), tensor.shape, at::kFloat);
  return at::from_blob(const_cast<int64_t*>(tensor.ints().data()), tensor.shape, at::kLong);
}

inline Tensor read(at::Tensor found, const TensorSpec& spec) {
  found = found.contiguous();
  const bool ids = spec.dtype == "int64";
  if (found.scalar_type() != (ids ? at::kLong : at::kFloat))
    throw CheckError(spec.name + " is not " + spec.dtype + "; export again");
  if (const auto count = found.numel(); ids) {
    const auto* data = found.const_data_ptr<int64_t>();
    return {found.sizes().vec(), Ints(data, data + count)};
  } else {
    const auto* data = found.const_data_ptr<float>();
    return {found.sizes().vec(), Floats(data, data + count)};
  }
}

// One method of the archive. Text goes in and out as lists: List[List[str]] for a history and what
// stands beside each of its items, List[str] for a feature of the request.
class TorchScriptSession : public Session {
 public:
  TorchScriptSession(const std::string& path, Signature signature)
      : signature_(std::move(signature)), module_(torch::jit::load(path)) {
    module_.eval();
    // The pass itself, because torch::jit::freeze of C++ asks for a method `forward`.
    torch::jit::freeze_module_inplace(&module_, {signature_.name});
  }

  Tensors run(const Tensors& inputs) override {
    const c10::InferenceMode guard;
    std::vector<c10::IValue> values;
    for (const auto& spec : signature_.inputs) {
      const auto& tensor = inputs.at(spec.name);
      values.push_back(spec.dtype == "string" ? lists(tensor) : c10::IValue(wrap(tensor)));
    }
    const auto answer = module_.get_method(signature_.name)(std::move(values));
    const auto parts =
        answer.isTuple() ? answer.toTupleRef().elements().vec() : std::vector<c10::IValue>{answer};
    Tensors outputs;
    for (size_t place = 0; place < parts.size(); ++place) {
      const auto& spec = signature_.outputs.at(place);
      outputs[spec.name] =
          parts[place].isTensor() ? read(parts[place].toTensor(), spec) : read_lists(parts[place]);
    }
    return outputs;
  }

 private:
  static c10::IValue lists(const Tensor& tensor) {
    const auto& texts = tensor.texts();
    if (tensor.shape.size() == 1) return c10::List<std::string>(at::ArrayRef<std::string>(texts));
    c10::List<c10::List<std::string>> rows;
    for (size_t start = 0; start < texts.size(); start += tensor.shape[1])
      rows.push_back(
          c10::List<std::string>(at::ArrayRef<std::string>(texts.data() + start, tensor.shape[1])));
    return rows;
  }

  static Tensor read_lists(const c10::IValue& value) {
    const auto rows = value.toListRef();
    Texts texts;
    for (const auto& row : rows)
      for (const auto& text : row.toListRef()) texts.push_back(text.toStringRef());
    const int64_t count = rows.size();
    return {{count, count ? int64_t(texts.size()) / count : 0}, texts};
  }

  const Signature signature_;
  torch::jit::Module module_;
};

// One compiled package. It checks neither shape, nor dtype, nor strides: `bst::check_inputs` and `wrap` do.
class AotInductorSession : public Session {
 public:
  AotInductorSession(const std::string& path, Signature signature)
      : signature_(std::move(signature)), package_(path) {
    // What the package says of itself, where its inputs carry no names.
    const auto stated = Json::parse(package_.get_metadata().at("bst.signatures"));
    for (const auto& one : Field(stated).list()) {
      const auto own = read_signature(one);
      if (own.name == signature_.name && to_text(own) == to_text(signature_)) return;
    }
    throw CheckError("the package was compiled for other inputs than " + to_text(signature_) +
                     "; export again");
  }

  Tensors run(const Tensors& inputs) override {
    const c10::InferenceMode guard;
    std::vector<at::Tensor> values;
    for (const auto& spec : signature_.inputs) values.push_back(wrap(inputs.at(spec.name)));
    const auto found = package_.run(values);
    Tensors outputs;
    for (size_t place = 0; place < found.size(); ++place) {
      const auto& spec = signature_.outputs.at(place);
      outputs[spec.name] = read(found[place], spec);
    }
    return outputs;
  }

 private:
  const Signature signature_;
  torch::inductor::AOTIModelPackageLoader package_;
};

}  // namespace detail

class LibTorch : public Runtime {
 public:
  std::string library() const override { return "torch"; }
  std::string version() const override { return TORCH_VERSION; }
  Texts formats() const override { return {"torchscript", "aotinductor"}; }

  // A number of threads goes for all of LibTorch in this process.
  std::unique_ptr<Session> open(const Bundle& bundle, const Format& format, const Signature& signature,
                                int threads) override {
    if (threads) at::set_num_threads(threads);
    const auto file = (bundle.path / format.file_of(signature.name)).string();
    if (format.name == "torchscript") return std::make_unique<detail::TorchScriptSession>(file, signature);
    return std::make_unique<detail::AotInductorSession>(file, signature);
  }
};

}  // namespace bst
