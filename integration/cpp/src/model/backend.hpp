// SPDX-License-Identifier: BSD-3-Clause
// Backend: what runs the graph of a model, named tensors in and named tensors out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fastcalo::core {

// Types of elements; the numbers are those of ONNX (TensorProto.DataType).
enum class DataType : std::int32_t {
    float32 = 1,
    uint8 = 2,
    int32 = 6,
    int64 = 7,
    boolean = 9,
    float64 = 11,
};

// Bytes of one element; 0 for a type that is not listed above.
constexpr std::size_t size_of(DataType type) noexcept {
    switch (type) {
        case DataType::uint8:
        case DataType::boolean:
            return 1;
        case DataType::float32:
        case DataType::int32:
            return 4;
        case DataType::int64:
        case DataType::float64:
            return 8;
    }
    return 0;
}

// Number of elements of a shape; 1 for a scalar.
inline std::size_t elements(const std::vector<std::int64_t>& shape) noexcept {
    std::size_t n = 1;
    for (const std::int64_t length : shape) n *= static_cast<std::size_t>(length);
    return n;
}

// A tensor that someone else owns, in C order: an input.
struct TensorView {
    std::string_view name;
    DataType type = DataType::float32;
    std::vector<std::int64_t> shape;
    const void* data = nullptr;
};

// A tensor with its own memory, in C order: an output.
struct Tensor {
    std::string name;
    DataType type = DataType::float32;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;

    template <class T>
    [[nodiscard]] const T* as() const noexcept {
        return reinterpret_cast<const T*>(bytes.data());
    }
    [[nodiscard]] std::size_t size() const noexcept { return elements(shape); }
};

// An input or output that a graph declares. A length that the graph leaves free is -1.
struct TensorInfo {
    std::string name;
    DataType type = DataType::float32;
    std::vector<std::int64_t> shape;
    bool optional = false;  // an input with a default: it may be left out
};

// What runs a graph. Made from the bytes of an .onnx file; one object may be used by many threads at a time.
class Backend {
  public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    virtual ~Backend() = default;

    // "native" or "onnxruntime".
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    [[nodiscard]] virtual const std::vector<TensorInfo>& inputs() const noexcept = 0;
    [[nodiscard]] virtual const std::vector<TensorInfo>& outputs() const noexcept = 0;

    // Showers of one run that it is best at: more share its fixed cost, fewer stay in the cache.
    [[nodiscard]] virtual std::size_t batch() const noexcept = 0;

    // Outputs of these names, in this order. What is not asked for need not be computed.
    //
    // Throws fastcalo::core::Error (errors.hpp) with code `backend` where the graph cannot be run.
    [[nodiscard]] virtual std::vector<Tensor> run(const std::vector<TensorView>& inputs,
                                                  const std::vector<std::string>& outputs) const = 0;
};

}  // namespace fastcalo::core
