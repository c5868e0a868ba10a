// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace fastcalo::core {

inline constexpr double PI = 3.14159265358979323846;
inline constexpr double TWO_PI = 6.283185307179586476925286766559;

}  // namespace fastcalo::core
