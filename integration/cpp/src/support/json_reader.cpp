// SPDX-License-Identifier: BSD-3-Clause
// Strict reader of JSON.
#include <charconv>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>

#include "support/json.hpp"
#include "support/utf8.hpp"

namespace fastcalo::core {
namespace {

constexpr int MAX_DEPTH = 100;

}  // namespace

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

Json Json::parse(std::string_view text) { return JsonReader(text).whole(); }

}  // namespace fastcalo::core
