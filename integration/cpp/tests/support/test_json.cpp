// SPDX-License-Identifier: BSD-3-Clause
// JSON: what is read, what is refused, and the canonical text, which must be Python's.
#include <string>

#include "../check.hpp"
#include "support/json.hpp"
#include "support/utf8.hpp"

using namespace fastcalo::core;

int main() {
    const Json value = Json::parse(R"( {"b": [1, -2.5, 1e-5, true, null], "a": "\u00e9\ud83d\ude00\n", "b2": {}} )");
    CHECK(value.canonical() == R"({"a":"\u00e9\ud83d\ude00\n","b":[1,-2.5,1e-05,true,null],"b2":{}})");
    CHECK(Json::parse("\"\xC3\xA9\"").canonical() == "\"\\u00e9\"");
    CHECK(Json::parse(R"({"a": 1, "a": 2})").canonical() == R"({"a":2})");
    CHECK(Json::parse(R"({"a": 1, "a": 2})").find("a")->integer() == 2);
    CHECK(Json::parse("123456789012345678901234567890").canonical() == "123456789012345678901234567890");
    CHECK(Json::parse("[]").items().empty());

    // repr() of Python
    CHECK(python_repr(5.1) == "5.1");
    CHECK(python_repr(0.0) == "0.0");
    CHECK(python_repr(-0.0) == "-0.0");
    CHECK(python_repr(140.0) == "140.0");
    CHECK(python_repr(2e-05) == "2e-05");
    CHECK(python_repr(0.0001) == "0.0001");
    CHECK(python_repr(1e15) == "1000000000000000.0");
    CHECK(python_repr(1e16) == "1e+16");
    CHECK(python_repr(123456.789) == "123456.789");
    CHECK(python_repr(1.0 / 3) == "0.3333333333333333");
    CHECK(python_repr(1.7976931348623157e308) == "1.7976931348623157e+308");
    CHECK(python_repr(5e-324) == "5e-324");
    CHECK(Json::parse("5e-324").number() == 5e-324);

    for (const char* bad : {"",        "{",           "[1,]", "{\"a\"}",  "{\"a\":1,}", "[1] 2",        "tru",
                            "01",      "-",           "1.",   "1e",       "NaN",        "Infinity",     "1e999",
                            "\"\\x\"", "\"\\ud800\"", "\"a",  "\"\x01\"", "\"\xFF\"",   "\"\xC0\x80\"", "'a'"})
        CHECK_THROWS(Json::parse(bad), "byte");
    CHECK_THROWS(Json::parse(std::string(100'000, '[')), "too many values within values");

    CHECK(is_utf8("h\xC3\xA9"));
    CHECK(!is_utf8("\xED\xA0\x80"));      // half of a pair
    CHECK(!is_utf8("\xF4\x90\x80\x80"));  // beyond the last character
    CHECK(!is_utf8("\xE2\x82"));
    return CHECK_RESULT();
}
