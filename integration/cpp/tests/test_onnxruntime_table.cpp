// SPDX-License-Identifier: BSD-3-Clause
// Our declarations of ONNX Runtime's table against the real header: numbers of entries, and sizes of what they take.
#include <onnxruntime_c_api.h>

#include <cstddef>

#include "model/onnxruntime_api.hpp"

namespace ours = fastcalo::core::ort;

#define SAME_PLACE(name) static_assert(offsetof(OrtApi, name) == ours::name::number * sizeof(void*), #name)

SAME_PLACE(GetErrorMessage);
SAME_PLACE(CreateEnv);
SAME_PLACE(CreateSessionFromArray);
SAME_PLACE(Run);
SAME_PLACE(CreateSessionOptions);
SAME_PLACE(SetSessionLogSeverityLevel);
SAME_PLACE(SetIntraOpNumThreads);
SAME_PLACE(SetInterOpNumThreads);
SAME_PLACE(SessionGetInputCount);
SAME_PLACE(SessionGetOutputCount);
SAME_PLACE(SessionGetOverridableInitializerCount);
SAME_PLACE(SessionGetInputTypeInfo);
SAME_PLACE(SessionGetOutputTypeInfo);
SAME_PLACE(SessionGetOverridableInitializerTypeInfo);
SAME_PLACE(SessionGetInputName);
SAME_PLACE(SessionGetOutputName);
SAME_PLACE(SessionGetOverridableInitializerName);
SAME_PLACE(CreateTensorWithDataAsOrtValue);
SAME_PLACE(GetTensorMutableData);
SAME_PLACE(CastTypeInfoToTensorInfo);
SAME_PLACE(GetTensorElementType);
SAME_PLACE(GetDimensionsCount);
SAME_PLACE(GetDimensions);
SAME_PLACE(GetTensorTypeAndShape);
SAME_PLACE(CreateCpuMemoryInfo);
SAME_PLACE(AllocatorFree);
SAME_PLACE(GetAllocatorWithDefaultOptions);
SAME_PLACE(ReleaseEnv);
SAME_PLACE(ReleaseStatus);
SAME_PLACE(ReleaseMemoryInfo);
SAME_PLACE(ReleaseSession);
SAME_PLACE(ReleaseValue);
SAME_PLACE(ReleaseTypeInfo);
SAME_PLACE(ReleaseTensorTypeAndShapeInfo);
SAME_PLACE(ReleaseSessionOptions);
SAME_PLACE(AddSessionConfigEntry);

// enumerations are handed over as int
static_assert(sizeof(OrtLoggingLevel) == sizeof(int) && sizeof(ONNXTensorElementDataType) == sizeof(int));
static_assert(sizeof(OrtAllocatorType) == sizeof(int) && sizeof(OrtMemType) == sizeof(int));
static_assert(OrtDeviceAllocator == ours::CPU_DEVICE_ALLOCATOR && OrtMemTypeDefault == ours::DEFAULT_MEMORY);
static_assert(ORT_LOGGING_LEVEL_ERROR == ours::LOG_ERRORS && ORT_API_VERSION >= ours::API_VERSION);
static_assert(offsetof(OrtApiBase, GetApi) == 0 && offsetof(OrtApiBase, GetVersionString) == sizeof(void*));

int main() { return 0; }
