// SPDX-License-Identifier: BSD-3-Clause
// Descriptions of the detectors that come with fastcalo.
#pragma once

#include <string_view>

namespace fastcalo::core {

// JSON of the description of that name; nullptr where there is none.
const char* shipped_detector(std::string_view name) noexcept;

}  // namespace fastcalo::core
