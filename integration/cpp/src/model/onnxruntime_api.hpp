// SPDX-License-Identifier: BSD-3-Clause
// The part of ONNX Runtime's C interface that is used here, declared by ourselves: its headers are on few machines, and
// its library is only opened while a program runs.
//
// The interface is a table of functions to which every version appends (onnxruntime_c_api.h, struct OrtApi): an entry
// keeps its number for ever. The test `onnxruntime_table` compares these numbers and types with the real header, where
// CMake is given one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastcalo::core::ort {

struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct RunOptions;
struct Value;
struct TypeInfo;
struct TensorInfo;
struct MemoryInfo;
struct Allocator;

inline constexpr std::uint32_t API_VERSION = 17;  // all entries below are in it
inline constexpr int CPU_DEVICE_ALLOCATOR = 0;    // OrtDeviceAllocator
inline constexpr int DEFAULT_MEMORY = 0;          // OrtMemTypeDefault
inline constexpr int LOG_ERRORS = 3;              // ORT_LOGGING_LEVEL_ERROR

// An entry of the table: its number and its type.
template <std::size_t Number, class Function>
struct Entry {
    static constexpr std::size_t number = Number;
    using type = Function*;
};

using GetErrorMessage = Entry<2, const char*(const Status*)>;
using CreateEnv = Entry<3, Status*(int, const char*, Env**)>;
using CreateSessionFromArray =
    Entry<8, Status*(const Env*, const void*, std::size_t, const SessionOptions*, Session**)>;
using Run = Entry<9, Status*(Session*, const RunOptions*, const char* const*, const Value* const*, std::size_t,
                             const char* const*, std::size_t, Value**)>;
using CreateSessionOptions = Entry<10, Status*(SessionOptions**)>;
using SetSessionLogSeverityLevel = Entry<22, Status*(SessionOptions*, int)>;
using SetIntraOpNumThreads = Entry<24, Status*(SessionOptions*, int)>;
using SetInterOpNumThreads = Entry<25, Status*(SessionOptions*, int)>;
using CountOf = Status*(const Session*, std::size_t*);
using SessionGetInputCount = Entry<30, CountOf>;
using SessionGetOutputCount = Entry<31, CountOf>;
using SessionGetOverridableInitializerCount = Entry<32, CountOf>;
using TypeOf = Status*(const Session*, std::size_t, TypeInfo**);
using SessionGetInputTypeInfo = Entry<33, TypeOf>;
using SessionGetOutputTypeInfo = Entry<34, TypeOf>;
using SessionGetOverridableInitializerTypeInfo = Entry<35, TypeOf>;
using NameOf = Status*(const Session*, std::size_t, Allocator*, char**);
using SessionGetInputName = Entry<36, NameOf>;
using SessionGetOutputName = Entry<37, NameOf>;
using SessionGetOverridableInitializerName = Entry<38, NameOf>;
using CreateTensorWithDataAsOrtValue =
    Entry<49, Status*(const MemoryInfo*, void*, std::size_t, const std::int64_t*, std::size_t, int, Value**)>;
using GetTensorMutableData = Entry<51, Status*(Value*, void**)>;
using CastTypeInfoToTensorInfo = Entry<55, Status*(const TypeInfo*, const TensorInfo**)>;
using GetTensorElementType = Entry<60, Status*(const TensorInfo*, int*)>;
using GetDimensionsCount = Entry<61, Status*(const TensorInfo*, std::size_t*)>;
using GetDimensions = Entry<62, Status*(const TensorInfo*, std::int64_t*, std::size_t)>;
using GetTensorTypeAndShape = Entry<65, Status*(const Value*, TensorInfo**)>;
using CreateCpuMemoryInfo = Entry<69, Status*(int, int, MemoryInfo**)>;
using AllocatorFree = Entry<76, Status*(Allocator*, void*)>;
using GetAllocatorWithDefaultOptions = Entry<78, Status*(Allocator**)>;
using ReleaseEnv = Entry<92, void(Env*)>;
using ReleaseStatus = Entry<93, void(Status*)>;
using ReleaseMemoryInfo = Entry<94, void(MemoryInfo*)>;
using ReleaseSession = Entry<95, void(Session*)>;
using ReleaseValue = Entry<96, void(Value*)>;
using ReleaseTypeInfo = Entry<98, void(TypeInfo*)>;
using ReleaseTensorTypeAndShapeInfo = Entry<99, void(TensorInfo*)>;
using ReleaseSessionOptions = Entry<100, void(SessionOptions*)>;
using AddSessionConfigEntry = Entry<130, Status*(SessionOptions*, const char*, const char*)>;

// What the library exports under the name OrtGetApiBase.
struct ApiBase {
    const void* (*get_api)(std::uint32_t version);
    const char* (*version)();
};

class Api {
  public:
    Api() = default;
    explicit Api(const void* table) : table_(static_cast<void (*const*)()>(table)) {}

    template <class E>
    [[nodiscard]] typename E::type get() const noexcept {
        return reinterpret_cast<typename E::type>(table_[E::number]);
    }

  private:
    void (*const* table_)() = nullptr;
};

}  // namespace fastcalo::core::ort
