// SPDX-License-Identifier: BSD-3-Clause
// JSON: values, a strict reader, and the canonical text that hashes are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastcalo::core {

// A value of a JSON text. Whole numbers and numbers with a point or an exponent are distinguished, as in Python.
class Json {
  public:
    enum class Kind { null, boolean, integer, real, string, array, object };
    using Members = std::vector<std::pair<std::string, Json>>;

    Json() = default;
    static Json of(bool value);
    static Json of(std::int64_t value);
    static Json of(double value);
    static Json of(std::string value);
    static Json array(std::vector<Json> items = {});
    static Json object(Members members = {});

    // Throws std::invalid_argument with the place, for anything that is not one whole JSON text.
    static Json parse(std::string_view text);

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] bool is(Kind kind) const noexcept { return kind_ == kind; }
    [[nodiscard]] bool is_number() const noexcept { return kind_ == Kind::integer || kind_ == Kind::real; }

    // Only of the kind in question.
    [[nodiscard]] bool boolean() const noexcept { return number_ != 0; }
    [[nodiscard]] double number() const noexcept { return number_; }
    // Of a whole number; clipped to the ends of int64, which no clause allows.
    [[nodiscard]] std::int64_t integer() const noexcept { return integer_; }
    [[nodiscard]] const std::string& string() const noexcept { return text_; }
    [[nodiscard]] const std::vector<Json>& items() const noexcept { return items_; }
    [[nodiscard]] const Members& members() const noexcept { return members_; }

    // Member of an object, or nullptr. A name that comes twice stands for its last value.
    [[nodiscard]] const Json* find(std::string_view name) const noexcept;
    void set(const std::string& name, Json value);
    void push(Json value) { items_.push_back(std::move(value)); }

    // The text that Python's json.dumps(sort_keys=True, separators=(",", ":")) gives.
    [[nodiscard]] std::string canonical() const;

  private:
    friend class JsonReader;
    void write(std::string& out) const;

    Kind kind_ = Kind::null;
    double number_ = 0;
    std::int64_t integer_ = 0;
    std::string text_;  // of a string, or the digits of a whole number
    std::vector<Json> items_;
    Members members_;
};

// A value in a message: on one line and not too long.
std::string shown(const Json& value);

// A finite number as Python's repr() gives it: the shortest digits that give it back.
std::string python_repr(double value);

}  // namespace fastcalo::core
