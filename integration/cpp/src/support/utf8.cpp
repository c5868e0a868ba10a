// SPDX-License-Identifier: BSD-3-Clause
#include "support/utf8.hpp"

namespace fastcalo::core {

bool next_character(std::string_view text, std::size_t& at, std::uint32_t& code) noexcept {
    const auto byte = [&](std::size_t k) { return static_cast<std::uint8_t>(text[k]); };
    const std::uint8_t first = byte(at++);
    if (first < 0x80) {
        code = first;
        return true;
    }
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4) return false;
    code = first & (0x3Fu >> more);
    for (int k = 0; k < more; ++k) {
        if (at >= text.size() || (byte(at) & 0xC0) != 0x80) return false;
        code = code << 6 | (byte(at++) & 0x3Fu);
    }
    constexpr std::uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    return code >= least[more] && code <= 0x10FFFF && !(code >= 0xD800 && code < 0xE000);
}

void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(static_cast<std::uint8_t>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

bool is_utf8(std::string_view text) noexcept {
    std::uint32_t code = 0;
    for (std::size_t at = 0; at < text.size();)
        if (!next_character(text, at, code)) return false;
    return true;
}

}  // namespace fastcalo::core
