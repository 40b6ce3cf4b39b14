// A bundle's ONNX files in ONNX Runtime. Include this before ONNX Runtime's own header.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include <cstdlib>

#include "runtime.hpp"

namespace bst {
namespace detail {

// All that is called here was there by then. Later libraries have it too, and so headers may be newer than
// the library.
constexpr uint32_t kApiVersion = 15;

inline ONNXTensorElementDataType element_type(const std::string& dtype) {
  if (dtype == "int64") return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  return dtype == "string" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

// One graph. Names are fixed when it is loaded; a call wraps the caller's numbers without a copy.
class OnnxSession : public Session {
 public:
  OnnxSession(std::shared_ptr<Ort::Env> env, const std::string& path, const Ort::SessionOptions& options,
              Signature signature)
      : signature_(std::move(signature)), env_(std::move(env)), session_(*env_, path.c_str(), options) {
    const auto &inputs = signature_.inputs, &outputs = signature_.outputs;
    if (session_.GetInputCount() != inputs.size() || session_.GetOutputCount() != outputs.size())
      throw CheckError("the graph has other inputs or outputs than the manifest states; export again");
    for (size_t place = 0; place < inputs.size(); ++place) {
      const auto name = session_.GetInputNameAllocated(place, allocator_);
      require(inputs[place], name.get(), session_.GetInputTypeInfo(place));
      input_names_.push_back(inputs[place].name.c_str());
    }
    for (size_t place = 0; place < outputs.size(); ++place) {
      const auto name = session_.GetOutputNameAllocated(place, allocator_);
      require(outputs[place], name.get(), session_.GetOutputTypeInfo(place));
      output_names_.push_back(outputs[place].name.c_str());
    }
  }

  Tensors run(const Tensors& inputs) override {
    std::vector<Ort::Value> values;
    for (const auto& spec : signature_.inputs) values.push_back(wrap(inputs.at(spec.name)));
    const auto found = session_.Run(Ort::RunOptions{nullptr}, input_names_.data(), values.data(),
                                    values.size(), output_names_.data(), output_names_.size());
    Tensors outputs;
    for (size_t place = 0; place < found.size(); ++place)
      outputs[output_names_[place]] = read(found[place], signature_.outputs[place]);
    return outputs;
  }

 private:
  // The graph must have the name, the type and the fixed axes that the manifest states at this place.
  static void require(const TensorSpec& spec, const std::string& name, const Ort::TypeInfo& info) {
    const auto tensor = info.GetTensorTypeAndShapeInfo();
    const auto shape = tensor.GetShape();
    bool fits = name == spec.name && tensor.GetElementType() == element_type(spec.dtype) &&
                shape.size() == spec.shape.size();
    for (size_t axis = 0; fits && axis < shape.size(); ++axis)
      fits = shape[axis] == spec.shape[axis].size;  // -1: dynamic
    if (!fits)
      throw CheckError("the graph has " + name + " " + to_text(shape) + " where the manifest states " +
                       spec.name + " " + spec.dtype + "; export again");
  }

  Ort::Value wrap(const Tensor& tensor) {
    const auto& shape = tensor.shape;
    const auto wrapped = [&](const auto& numbers) {
      using Number = typename std::decay_t<decltype(numbers)>::value_type;
      auto* data = const_cast<Number*>(numbers.data());  // the API takes no const pointer, and writes nothing
      return Ort::Value::CreateTensor<Number>(memory_, data, numbers.size(), shape.data(), shape.size());
    };
    if (tensor.values.index() == 0) return wrapped(tensor.ints());
    if (tensor.values.index() == 1) return wrapped(tensor.floats());
    auto value = Ort::Value::CreateTensor(allocator_, shape.data(), shape.size(),
                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
    std::vector<const char*> texts;
    for (const auto& text : tensor.texts()) texts.push_back(text.c_str());
    value.FillStringTensor(texts.data(), texts.size());
    return value;
  }

  static Tensor read(const Ort::Value& value, const TensorSpec& spec) {
    const auto info = value.GetTensorTypeAndShapeInfo();
    const size_t count = info.GetElementCount();
    if (spec.dtype == "int64") {
      const auto* ids = value.GetTensorData<int64_t>();
      return {info.GetShape(), Ints(ids, ids + count)};
    }
    if (spec.dtype == "float32") {
      const auto* scores = value.GetTensorData<float>();
      return {info.GetShape(), Floats(scores, scores + count)};
    }
    Texts texts;
    for (size_t place = 0; place < count; ++place) texts.push_back(value.GetStringTensorElement(place));
    return {info.GetShape(), texts};
  }

  const Signature signature_;
  const std::shared_ptr<Ort::Env> env_;  // a session must not outlive it
  Ort::Session session_;
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names_, output_names_;
};

}  // namespace detail

class OnnxRuntime : public Runtime {
 public:
  // Sets ORT_DISABLE_TELEMETRY=1 unless it is set: official builds of ONNX Runtime report to Microsoft
  // otherwise. Throws InputError if the library is older than 1.15.
  OnnxRuntime() {
    setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    const auto* api = OrtGetApiBase()->GetApi(detail::kApiVersion);
    if (!api)
      throw InputError("this is ONNX Runtime " + version() + "; link 1." +
                       std::to_string(detail::kApiVersion) + " or later");
    Ort::InitApi(api);
    env_ = std::make_shared<Ort::Env>(ORT_LOGGING_LEVEL_FATAL, "bst");  // errors are exceptions, not log lines
  }

  std::string library() const override { return "onnxruntime"; }
  std::string version() const override { return OrtGetApiBase()->GetVersionString(); }
  Texts formats() const override { return {"onnx"}; }

  // With the options that the manifest advises (`bst export --tune`).
  std::unique_ptr<Session> open(const Bundle& bundle, const Format& format, const Signature& signature,
                                int threads) override {
    const auto& advised = bundle.manifest.tuning;
    Ort::SessionOptions options;
    if (threads || advised.threads) options.SetIntraOpNumThreads(threads ? threads : advised.threads);
    if (!advised.arena) options.DisableCpuMemArena();
    if (!advised.spinning) options.AddConfigEntry("session.intra_op.allow_spinning", "0");
    if (!advised.prepacking) options.AddConfigEntry("session.disable_prepacking", "1");
    return std::make_unique<detail::OnnxSession>(
        env_, (bundle.path / format.file_of(signature.name)).string(), options, signature);
  }

 private:
  std::shared_ptr<Ort::Env> env_;
};

}  // namespace bst
