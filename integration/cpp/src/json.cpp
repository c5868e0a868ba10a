// SPDX-License-Identifier: BSD-3-Clause
#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>

namespace fastcalo::core {
namespace {

constexpr int MAX_DEPTH = 100;

// Decodes the character at `at` and moves on; false where it is not UTF-8 (RFC 3629).
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

bool is_utf8(std::string_view text) noexcept {
    std::uint32_t code = 0;
    for (std::size_t at = 0; at < text.size();)
        if (!next_character(text, at, code)) return false;
    return true;
}

// Reads a text from left to right; every function leaves `at_` behind what it has read.
class JsonReader {
  public:
    explicit JsonReader(std::string_view text) : text_(text) {}

    Json whole() {
        Json value = read(0);
        space();
        if (at_ < text_.size()) wrong("more text behind the end");
        return value;
    }

  private:
    [[noreturn]] void wrong(const std::string& what) const {
        throw std::invalid_argument(what + " at byte " + std::to_string(at_));
    }
    [[nodiscard]] char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void space() noexcept {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
            ++at_;
    }
    bool take(char c) noexcept {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    bool word(std::string_view name) noexcept {
        if (text_.substr(at_, name.size()) != name) return false;
        at_ += name.size();
        return true;
    }

    Json read(int depth) {
        if (depth > MAX_DEPTH) wrong("too many values within values");
        space();
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return Json::of(string());
            case 't':
                if (word("true")) return Json::of(true);
                break;
            case 'f':
                if (word("false")) return Json::of(false);
                break;
            case 'n':
                if (word("null")) return {};
                break;
            default:
                return number();
        }
        wrong("no value");
    }

    Json object(int depth) {
        Json out = Json::object();
        ++at_;
        space();
        if (take('}')) return out;
        do {
            space();
            if (peek() != '"') wrong("no name of a member");
            std::string name = string();
            space();
            if (!take(':')) wrong("no colon");
            out.members_.emplace_back(std::move(name), read(depth + 1));
            space();
        } while (take(','));
        if (!take('}')) wrong("an object without an end");
        return out;
    }

    Json array(int depth) {
        Json out = Json::array();
        ++at_;
        space();
        if (take(']')) return out;
        do {
            out.items_.push_back(read(depth + 1));
            space();
        } while (take(','));
        if (!take(']')) wrong("a list without an end");
        return out;
    }

    std::string string() {
        std::string out;
        ++at_;
        while (true) {
            if (at_ >= text_.size()) wrong("a text without an end");
            const char c = text_[at_];
            if (c == '"') break;
            if (static_cast<unsigned char>(c) < 0x20) wrong("a control character in a text");
            if (c == '\\') {
                escape(out);
                continue;
            }
            const std::size_t begin = at_;
            std::uint32_t code = 0;
            if (!next_character(text_, at_, code)) wrong("no UTF-8");
            out.append(text_.substr(begin, at_ - begin));
        }
        ++at_;
        return out;
    }

    void escape(std::string& out) {
        ++at_;
        const char c = peek();
        ++at_;
        switch (c) {
            case '"':
            case '\\':
            case '/':
                out += c;
                return;
            case 'n':
                out += '\n';
                return;
            case 'r':
                out += '\r';
                return;
            case 't':
                out += '\t';
                return;
            case 'b':
                out += '\b';
                return;
            case 'f':
                out += '\f';
                return;
            case 'u':
                break;
            default:
                wrong("an unknown escape");
        }
        std::uint32_t code = unit();
        if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            at_ += 2;
            const std::uint32_t low = unit();
            if (low < 0xDC00 || low > 0xDFFF) wrong("half of a character");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        if (code >= 0xD800 && code < 0xE000) wrong("half of a character");
        append_utf8(out, code);
    }

    std::uint32_t unit() {
        std::uint32_t code = 0;
        for (int k = 0; k < 4; ++k, ++at_) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) wrong("no hexadecimal digit");
            code = code << 4 | static_cast<std::uint32_t>(digit);
        }
        return code;
    }

    void digits() {
        if (peek() < '0' || peek() > '9') wrong("no value");
        while (peek() >= '0' && peek() <= '9') ++at_;
    }

    Json number() {
        const std::size_t begin = at_;
        (void)take('-');
        if (!take('0')) digits();
        bool real = false;
        if (take('.')) {
            digits();
            real = true;
        }
        if (take('e') || take('E')) {
            if (!take('+')) (void)take('-');
            digits();
            real = true;
        }
        const std::string token(text_.substr(begin, at_ - begin));
        std::istringstream stream(token);
        stream.imbue(std::locale::classic());
        double value = 0;
        stream >> value;
        // a stream reports underflow as well, which is no error
        if (std::isinf(value) || (stream.fail() && std::abs(value) >= 1)) wrong("a number that is too large");
        if (real) return Json::of(value);
        Json out;
        out.kind_ = Json::Kind::integer;
        out.number_ = value;
        out.text_ = token == "-0" ? "0" : token;
        const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), out.integer_);
        if (error != std::errc() || end != token.data() + token.size())
            out.integer_ =
                token[0] == '-' ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
        return out;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

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

Json Json::parse(std::string_view text) { return JsonReader(text).whole(); }

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
