// SPDX-License-Identifier: BSD-3-Clause
// What the C interface's functions share: opaque types, and the guard that turns exceptions into statuses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "fastcalo/c_api.h"
#include "simulation/fast_simulation.hpp"
#include "support/errors.hpp"

struct fastcalo_status {
    fastcalo::core::Code code;
    std::string message;
};
struct fastcalo_model {
    std::shared_ptr<const fastcalo::core::ShowerModel> model;
};
struct fastcalo_showers {
    fastcalo::core::Showers showers;
};
struct fastcalo_detector {
    std::shared_ptr<const fastcalo::core::Detector> detector;
};
struct fastcalo_simulation {
    std::unique_ptr<const fastcalo::core::FastSimulation> simulation;
};
struct fastcalo_hits {
    fastcalo::core::Hits hits;
};

namespace fastcalo::core::capi {

// Where not even a status can be made.
fastcalo_status* no_memory() noexcept;

inline fastcalo_status* status_of(Code code, const char* message) noexcept {
    try {
        return new fastcalo_status{code, message};
    } catch (...) {
        return no_memory();
    }
}

// Runs a function and turns what it throws into a status.
template <class Function>
fastcalo_status* guarded(Function function) noexcept {
    try {
        function();
        return nullptr;
    } catch (const Error& error) {
        return status_of(error.code(), error.what());
    } catch (const std::bad_alloc&) {
        return no_memory();
    } catch (const std::length_error&) {
        return no_memory();
    } catch (const std::exception& error) {
        return status_of(Code::internal, error.what());
    } catch (...) {
        return status_of(Code::internal, "an error of unknown kind");
    }
}

template <class T>
T& given(T* pointer, const char* name) {
    if (pointer == nullptr) fail(Code::invalid_argument, std::string(name) + " is a null pointer");
    return *pointer;
}

// An array that must be there unless it has no elements.
template <class T>
T* array(T* pointer, std::size_t n, const char* name) {
    if (pointer == nullptr && n > 0) fail(Code::invalid_argument, std::string(name) + " is a null pointer");
    return pointer;
}

// A structure that begins with its size. The first version is all that is known so far.
template <class T>
T& sized(T* pointer, const char* name) {
    T& value = given(pointer, name);
    if (value.struct_size < sizeof(T))
        fail(Code::invalid_argument, std::string(name) + ".struct_size is " + std::to_string(value.struct_size) +
                                         ", but must be sizeof, " + std::to_string(sizeof(T)));
    return value;
}

// Into a buffer of the caller's; nothing where there is none.
template <class T>
void copy_to(const std::vector<T>& from, T* to) {
    if (to != nullptr) std::copy(from.begin(), from.end(), to);
}

void add_model_functions(fastcalo_api& api) noexcept;
void add_detector_functions(fastcalo_api& api) noexcept;
void add_simulation_functions(fastcalo_api& api) noexcept;

}  // namespace fastcalo::core::capi
