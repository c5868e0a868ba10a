// SPDX-License-Identifier: BSD-3-Clause
#include "model/onnxruntime_backend.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "model/onnxruntime_api.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {
namespace {

constexpr int LEAST_MINOR = 22;  // older ones cannot open our graphs: GatherSliceToSplitFusion stumbles over them

// The library, and an environment in it: one for the whole process, for unloading it is not safe.
class Library {
  public:
    static const Library& open(const std::string& path);

    ort::Api api;
    ort::Env* env = nullptr;
    ort::Allocator* allocator = nullptr;
    ort::MemoryInfo* memory = nullptr;
    std::string path, version;

    void check(ort::Status* status, const char* what) const {
        if (status == nullptr) return;
        const std::string message = api.get<ort::GetErrorMessage>()(status);
        api.get<ort::ReleaseStatus>()(status);
        fail(Code::backend, "ONNX Runtime " + version + " " + what + ": " + message);
    }

  private:
    explicit Library(const std::string& wanted);
};

void* open_any(const std::string& wanted, std::string& tried) {
    std::vector<std::string> names;
    const char* const named = std::getenv("FASTCALO_ONNXRUNTIME");
    if (!wanted.empty())
        names = {wanted};
    else if (named != nullptr && *named != '\0')
        names = {named};
    else
        names = {"libonnxruntime.so.1", "libonnxruntime.so", "libonnxruntime.1.dylib", "libonnxruntime.dylib"};
    for (const std::string& name : names) {
        if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
        const char* const problem = dlerror();
        if (tried.empty()) tried = problem == nullptr ? name : problem;
    }
    return nullptr;
}

Library::Library(const std::string& wanted) : path(wanted) {
    std::string tried;
    void* const handle = open_any(wanted, tried);
    if (handle == nullptr)
        fail(Code::not_found, "there is no library of ONNX Runtime (" + tried +
                                  "): name one, or set FASTCALO_ONNXRUNTIME; the Python package onnxruntime has it as "
                                  "onnxruntime/capi/libonnxruntime.so.*");
    using GetBase = const ort::ApiBase* (*)();
    const auto get_base = reinterpret_cast<GetBase>(dlsym(handle, "OrtGetApiBase"));
    if (get_base == nullptr) {
        dlclose(handle);
        fail(Code::backend, "the library " + wanted + " is not ONNX Runtime: it has no OrtGetApiBase");
    }
    const ort::ApiBase* const base = get_base();
    version = base->version();
    int major = 0, minor = 0;
    char* end = nullptr;
    major = static_cast<int>(std::strtol(version.c_str(), &end, 10));
    if (end != nullptr && *end == '.') minor = static_cast<int>(std::strtol(end + 1, nullptr, 10));
    if (major == 1 && minor < LEAST_MINOR)
        fail(Code::backend, "ONNX Runtime " + version + " cannot open the graphs of fastcalo; 1." +
                                std::to_string(LEAST_MINOR) + " or newer is needed");
    const void* const table = base->get_api(ort::API_VERSION);
    if (table == nullptr)
        fail(Code::backend, "ONNX Runtime " + version + " does not offer version " + std::to_string(ort::API_VERSION) +
                                " of its interface");
    api = ort::Api(table);
    check(api.get<ort::CreateEnv>()(ort::LOG_ERRORS, "fastcalo", &env), "could not start");
    check(api.get<ort::GetAllocatorWithDefaultOptions>()(&allocator), "has no allocator");
    check(api.get<ort::CreateCpuMemoryInfo>()(ort::CPU_DEVICE_ALLOCATOR, ort::DEFAULT_MEMORY, &memory),
          "does not know the CPU's memory");
}

const Library& Library::open(const std::string& wanted) {
    static std::mutex mutex;
    static std::vector<std::unique_ptr<Library>>& open_ones = *new std::vector<std::unique_ptr<Library>>;
    const std::lock_guard<std::mutex> lock(mutex);
    for (const auto& library : open_ones)
        if (library->path == wanted) return *library;
    open_ones.push_back(std::unique_ptr<Library>(new Library(wanted)));
    return *open_ones.back();
}

// Something of ONNX Runtime's that is released by entry E of its table.
template <class T, class E>
class Owned {
  public:
    explicit Owned(const Library& library) : library_(&library) {}
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    Owned(Owned&& other) noexcept : library_(other.library_), object_(other.object_) { other.object_ = nullptr; }
    Owned& operator=(Owned&&) = delete;
    ~Owned() {
        if (object_ != nullptr) library_->api.get<E>()(object_);
    }
    [[nodiscard]] T* get() const noexcept { return object_; }
    [[nodiscard]] T** out() noexcept { return &object_; }

  private:
    const Library* library_;
    T* object_ = nullptr;
};

using OwnedValue = Owned<ort::Value, ort::ReleaseValue>;

class OnnxRuntimeBackend final : public Backend {
  public:
    OnnxRuntimeBackend(std::string_view image, const std::string& path, int threads)
        : library_(Library::open(path)), session_(library_) {
        const auto& api = library_.api;
        Owned<ort::SessionOptions, ort::ReleaseSessionOptions> options(library_);
        check(api.get<ort::CreateSessionOptions>()(options.out()), "has no options");
        check(api.get<ort::SetSessionLogSeverityLevel>()(options.get(), ort::LOG_ERRORS), "takes no log level");
        check(api.get<ort::SetIntraOpNumThreads>()(options.get(), threads < 1 ? 1 : threads), "takes no threads");
        check(api.get<ort::SetInterOpNumThreads>()(options.get(), 1), "takes no threads");
        check(api.get<ort::AddSessionConfigEntry>()(options.get(), "session.intra_op.allow_spinning", "0"),
              "takes no entry of its configuration");
        check(api.get<ort::CreateSessionFromArray>()(library_.env, image.data(), image.size(), options.get(),
                                                     session_.out()),
              "cannot open the model");
        infos<ort::SessionGetInputCount, ort::SessionGetInputName, ort::SessionGetInputTypeInfo>(inputs_, false);
        infos<ort::SessionGetOverridableInitializerCount, ort::SessionGetOverridableInitializerName,
              ort::SessionGetOverridableInitializerTypeInfo>(inputs_, true);
        infos<ort::SessionGetOutputCount, ort::SessionGetOutputName, ort::SessionGetOutputTypeInfo>(outputs_, false);
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "onnxruntime"; }
    std::size_t batch() const noexcept override { return 256; }
    [[nodiscard]] const std::vector<TensorInfo>& inputs() const noexcept override { return inputs_; }
    [[nodiscard]] const std::vector<TensorInfo>& outputs() const noexcept override { return outputs_; }

    [[nodiscard]] std::vector<Tensor> run(const std::vector<TensorView>& inputs,
                                          const std::vector<std::string>& outputs) const override {
        std::vector<OwnedValue> given;
        std::vector<std::string> names;
        given.reserve(inputs.size());
        for (const TensorView& input : inputs) {
            given.push_back(value_of(input));
            names.emplace_back(input.name);
        }
        std::vector<const char*> input_names, output_names;
        std::vector<const ort::Value*> values;
        for (std::size_t k = 0; k < given.size(); ++k) {
            input_names.push_back(names[k].c_str());
            values.push_back(given[k].get());
        }
        for (const std::string& name : outputs) output_names.push_back(name.c_str());
        std::vector<ort::Value*> raw(outputs.size(), nullptr);
        check(library_.api.get<ort::Run>()(session_.get(), nullptr, input_names.data(), values.data(), values.size(),
                                           output_names.data(), output_names.size(), raw.data()),
              "could not run the model");
        std::vector<OwnedValue> results;
        results.reserve(raw.size());
        for (ort::Value* value : raw) {
            results.emplace_back(library_);
            *results.back().out() = value;
        }
        std::vector<Tensor> out;
        for (std::size_t k = 0; k < results.size(); ++k) out.push_back(tensor_of(outputs[k], results[k].get()));
        return out;
    }

  private:
    void check(ort::Status* status, const char* what) const { library_.check(status, what); }

    template <class Count, class Name, class Type>
    void infos(std::vector<TensorInfo>& out, bool optional) {
        const auto& api = library_.api;
        std::size_t count = 0;
        check(api.template get<Count>()(session_.get(), &count), "does not state the graph's tensors");
        for (std::size_t k = 0; k < count; ++k) {
            char* name = nullptr;
            check(api.template get<Name>()(session_.get(), k, library_.allocator, &name), "does not state a name");
            TensorInfo info;
            info.name = name;
            info.optional = optional;
            check(api.get<ort::AllocatorFree>()(library_.allocator, name), "could not free memory");
            Owned<ort::TypeInfo, ort::ReleaseTypeInfo> type(library_);
            check(api.template get<Type>()(session_.get(), k, type.out()), "does not state a type");
            const ort::TensorInfo* tensor = nullptr;
            check(api.get<ort::CastTypeInfoToTensorInfo>()(type.get(), &tensor), "does not state a type");
            if (tensor != nullptr) describe(tensor, info.type, info.shape);
            out.push_back(std::move(info));
        }
    }

    void describe(const ort::TensorInfo* tensor, DataType& type, std::vector<std::int64_t>& shape) const {
        int element = 0;
        std::size_t axes = 0;
        check(library_.api.get<ort::GetTensorElementType>()(tensor, &element), "does not state a type");
        check(library_.api.get<ort::GetDimensionsCount>()(tensor, &axes), "does not state a shape");
        type = static_cast<DataType>(element);
        shape.resize(axes);
        check(library_.api.get<ort::GetDimensions>()(tensor, shape.data(), axes), "does not state a shape");
    }

    [[nodiscard]] OwnedValue value_of(const TensorView& input) const {
        OwnedValue value(library_);
        static const std::uint64_t nothing = 0;
        const std::size_t bytes = elements(input.shape) * size_of(input.type);
        // ONNX Runtime does not write into inputs, but its interface takes no pointer to const
        void* const data = const_cast<void*>(bytes == 0 ? static_cast<const void*>(&nothing) : input.data);
        check(library_.api.get<ort::CreateTensorWithDataAsOrtValue>()(library_.memory, data, bytes, input.shape.data(),
                                                                      input.shape.size(), static_cast<int>(input.type),
                                                                      value.out()),
              "refuses an input");
        return value;
    }

    [[nodiscard]] Tensor tensor_of(const std::string& name, ort::Value* value) const {
        Tensor out;
        out.name = name;
        Owned<ort::TensorInfo, ort::ReleaseTensorTypeAndShapeInfo> info(library_);
        check(library_.api.get<ort::GetTensorTypeAndShape>()(value, info.out()), "gives no tensor");
        describe(info.get(), out.type, out.shape);
        const std::size_t width = size_of(out.type);
        if (width == 0) fail(Code::backend, "output '" + name + "' is of a type that is not known here");
        void* data = nullptr;
        check(library_.api.get<ort::GetTensorMutableData>()(value, &data), "gives no numbers");
        out.bytes.resize(out.size() * width);
        if (!out.bytes.empty()) std::memcpy(out.bytes.data(), data, out.bytes.size());
        return out;
    }

    const Library& library_;
    Owned<ort::Session, ort::ReleaseSession> session_;
    std::vector<TensorInfo> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Backend> open_onnxruntime(std::string_view image, const std::string& library, int threads) {
    return std::make_unique<OnnxRuntimeBackend>(image, library, threads);
}

}  // namespace fastcalo::core
