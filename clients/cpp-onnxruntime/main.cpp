// A bundle in ONNX Runtime: its graphs take raw ids and give raw ids, no vocabulary is needed.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include <cstdlib>

#include "bst/client.hpp"

namespace {

using bst::Bundle;
using bst::Ints;
using bst::Json;
using bst::Signature;
using bst::Tensor;
using bst::Tensors;
using bst::TensorSpec;

// All that is called here was there by then. Later libraries have it too, and so headers may be newer than the library.
constexpr uint32_t kApiVersion = 15;

ONNXTensorElementDataType element_type(const std::string& dtype) {
  if (dtype == "int64") return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  return dtype == "string" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

// One graph. Names are fixed when it is loaded; a call wraps the caller's numbers without a copy.
class OnnxSession : public bst::Session {
 public:
  OnnxSession(Ort::Env& env, const std::string& path, const Ort::SessionOptions& options, Signature signature)
      : signature_(std::move(signature)), session_(env, path.c_str(), options) {
    if (session_.GetInputCount() != signature_.inputs.size() ||
        session_.GetOutputCount() != signature_.outputs.size())
      throw bst::CheckError("the graph has other inputs or outputs than the manifest states; export again");
    for (const auto& spec : signature_.inputs) input_names_.push_back(spec.name.c_str());
    for (const auto& spec : signature_.outputs) output_names_.push_back(spec.name.c_str());
    for (size_t place = 0; place < signature_.inputs.size(); ++place)
      require(signature_.inputs[place], session_.GetInputNameAllocated(place, allocator_).get(),
              session_.GetInputTypeInfo(place));
    for (size_t place = 0; place < signature_.outputs.size(); ++place)
      require(signature_.outputs[place], session_.GetOutputNameAllocated(place, allocator_).get(),
              session_.GetOutputTypeInfo(place));
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
      throw bst::CheckError("the graph has " + name + " " + bst::to_text(shape) +
                            " where the manifest states " + spec.name + " " + spec.dtype + "; export again");
  }

  Ort::Value wrap(const Tensor& tensor) {
    const auto& shape = tensor.shape;
    if (tensor.values.index() == 0) {
      auto& ints = const_cast<Ints&>(tensor.ints());  // the API takes no const pointer, and writes nothing
      return Ort::Value::CreateTensor(memory_, ints.data(), ints.size(), shape.data(), shape.size());
    }
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
      return {info.GetShape(), bst::Floats(scores, scores + count)};
    }
    bst::Texts texts;
    for (size_t place = 0; place < count; ++place) texts.push_back(value.GetStringTensorElement(place));
    return {info.GetShape(), texts};
  }

  const Signature signature_;
  Ort::Session session_;
  Ort::AllocatorWithDefaultOptions allocator_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names_, output_names_;
};

class OnnxRuntime : public bst::Runtime {
 public:
  std::string client() const override { return "cpp-onnxruntime"; }
  std::pair<std::string, std::string> library() const override {
    return {"onnxruntime", Ort::GetVersionString()};
  }
  bst::Texts formats() const override { return {"onnx"}; }

  std::unique_ptr<bst::Session> open(const Bundle& bundle, const Json& format, const Signature& signature,
                                     int threads) override {
    const auto file = format.at("entries").at(signature.name).at("path").get<std::string>();
    return std::make_unique<OnnxSession>(env_, (bundle.path / file).string(), options(bundle, threads),
                                         signature);
  }

 private:
  // What the manifest advises for this model (`bst export --tune`), or ONNX Runtime's own.
  static Ort::SessionOptions options(const Bundle& bundle, int threads) {
    Ort::SessionOptions options;
    const auto& tuning = bundle.manifest.at("tuning");
    const Json advised = tuning.is_null() ? Json::object() : tuning.at("options");
    if (!threads && advised.contains("threads") && !advised.at("threads").is_null())
      threads = advised.at("threads");
    if (threads) options.SetIntraOpNumThreads(threads);
    if (!advised.value("arena", true)) options.DisableCpuMemArena();
    if (!advised.value("spinning", true)) options.AddConfigEntry("session.intra_op.allow_spinning", "0");
    if (!advised.value("prepacking", true)) options.AddConfigEntry("session.disable_prepacking", "1");
    return options;
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_FATAL, "bst"};  // errors are told once, as exceptions
};

}  // namespace

int main(int count, char** arguments) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // official builds of ONNX Runtime report to Microsoft otherwise
  const auto* library = OrtGetApiBase();
  const auto* api = library->GetApi(kApiVersion);
  if (!api) {
    std::cerr << "error: this is ONNX Runtime " << library->GetVersionString() << "; link 1." << kApiVersion
              << " or later\n";
    return 2;
  }
  Ort::InitApi(api);
  OnnxRuntime runtime;
  return bst::run_client(count, arguments, runtime);
}
