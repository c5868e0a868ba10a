// SPDX-License-Identifier: BSD-3-Clause
#include "support/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "support/utf8.hpp"

namespace fastcalo::core {
namespace {

void append_escaped(std::string& out, std::uint32_t code) {
    const auto unit = [&](std::uint32_t u) {
        out += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[u >> shift & 15];
    };
    if (code < 0x10000) return unit(code);
    unit(0xD800 + ((code - 0x10000) >> 10));
    unit(0xDC00 + ((code - 0x10000) & 0x3FF));
}

void append_string(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        std::uint32_t code = 0xFFFD;
        (void)next_character(text, at, code);
        switch (code) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            case '\b':
                out += "\\b";
                break;
            case '\f':
                out += "\\f";
                break;
            default:
                if (code >= 0x20 && code < 0x7F)
                    out += static_cast<char>(code);
                else
                    append_escaped(out, code);
        }
    }
    out += '"';
}

}  // namespace

Json Json::of(bool value) {
    Json out;
    out.kind_ = Kind::boolean;
    out.number_ = value ? 1 : 0;
    return out;
}

Json Json::of(std::int64_t value) {
    Json out;
    out.kind_ = Kind::integer;
    out.number_ = static_cast<double>(value);
    out.integer_ = value;
    out.text_ = std::to_string(value);
    return out;
}

Json Json::of(double value) {
    Json out;
    out.kind_ = Kind::real;
    out.number_ = value;
    return out;
}

Json Json::of(std::string value) {
    Json out;
    out.kind_ = Kind::string;
    out.text_ = std::move(value);
    return out;
}

Json Json::array(std::vector<Json> items) {
    Json out;
    out.kind_ = Kind::array;
    out.items_ = std::move(items);
    return out;
}

Json Json::object(Members members) {
    Json out;
    out.kind_ = Kind::object;
    out.members_ = std::move(members);
    return out;
}

const Json* Json::find(std::string_view name) const noexcept {
    for (auto member = members_.rbegin(); member != members_.rend(); ++member)
        if (member->first == name) return &member->second;
    return nullptr;
}

void Json::set(const std::string& name, Json value) { members_.emplace_back(name, std::move(value)); }

std::string Json::canonical() const {
    std::string out;
    write(out);
    return out;
}

void Json::write(std::string& out) const {
    switch (kind_) {
        case Kind::null:
            out += "null";
            break;
        case Kind::boolean:
            out += number_ != 0 ? "true" : "false";
            break;
        case Kind::integer:
            out += text_;
            break;
        case Kind::real:
            out += python_repr(number_);
            break;
        case Kind::string:
            append_string(out, text_);
            break;
        case Kind::array: {
            out += '[';
            for (std::size_t k = 0; k < items_.size(); ++k) {
                if (k > 0) out += ',';
                items_[k].write(out);
            }
            out += ']';
            break;
        }
        case Kind::object: {
            std::vector<const std::pair<std::string, Json>*> sorted;
            for (const auto& member : members_)
                if (find(member.first) == &member.second) sorted.push_back(&member);
            // bytes of UTF-8 sort as their characters do
            std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
            out += '{';
            for (std::size_t k = 0; k < sorted.size(); ++k) {
                if (k > 0) out += ',';
                append_string(out, sorted[k]->first);
                out += ':';
                sorted[k]->second.write(out);
            }
            out += '}';
            break;
        }
    }
}

std::string shown(const Json& value) {
    constexpr std::size_t longest = 80;
    std::string out = value.canonical();
    if (out.size() > longest) out = out.substr(0, longest - 3) + "...";
    return out;
}

std::string python_repr(double value) {
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    const std::string text(buffer, end);
    const std::size_t e = text.find('e');
    const int exponent = std::stoi(text.substr(e + 1));
    // Python writes 1e-05 and 1e+16, but 0.0001 and 1000000.0
    if (exponent < -4 || exponent >= 16) return text;
    const bool negative = text[0] == '-';
    std::string digits = text.substr(negative ? 1 : 0, e - (negative ? 1 : 0));
    digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
    std::string out;
    if (exponent < 0) {
        out = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    } else {
        const auto whole = static_cast<std::size_t>(exponent) + 1;
        if (digits.size() < whole) digits.append(whole - digits.size(), '0');
        out = digits.substr(0, whole) + "." + (digits.size() > whole ? digits.substr(whole) : "0");
    }
    return negative ? "-" + out : out;
}

}  // namespace fastcalo::core
