// SPDX-License-Identifier: BSD-3-Clause
// Errors inside the library; at the C interface they become statuses.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace fastcalo::core {

// The numbers are part of the C interface (fastcalo_code in c_api.h).
enum class Code : std::int32_t {
    ok = 0,
    invalid_argument = 1,  // a null pointer, a wrong size, a number that makes no sense
    not_found = 2,         // no such file, section, tensor or library
    contract = 3,          // the file is no model, is damaged, or a clause cannot be met
    detector = 4,          // the description of a detector cannot be used
    out_of_domain = 5,     // a particle outside the model's validity
    buffer_too_small = 6,  // a buffer of the caller is too short
    backend = 7,           // the graph could not be run, or the library that runs it could not be loaded
    out_of_memory = 8,
    internal = 9,
};

class Error : public std::runtime_error {
  public:
    Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] Code code() const noexcept { return code_; }

  private:
    Code code_;
};

[[noreturn]] void fail(Code code, const std::string& message);

// A number as %g prints it, whatever the locale of the process.
std::string text(double value);

}  // namespace fastcalo::core
