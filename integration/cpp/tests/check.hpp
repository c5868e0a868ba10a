// SPDX-License-Identifier: BSD-3-Clause
// Checks for tests: each failure is printed with its place, and makes the program's exit status 1.
#pragma once

#include <cstdio>
#include <exception>
#include <string>

namespace check {

inline int& failures() {
    static int count = 0;
    return count;
}

inline void report(bool ok, const char* what, const char* file, int line, const std::string& more = "") {
    if (ok) return;
    ++failures();
    std::fprintf(stderr, "%s:%d: failed: %s %s\n", file, line, what, more.c_str());
}

}  // namespace check

#define CHECK(condition) check::report((condition), #condition, __FILE__, __LINE__)
#define CHECK_MORE(condition, more) check::report((condition), #condition, __FILE__, __LINE__, (more))

// That an expression throws an error, and that its message contains a text.
#define CHECK_THROWS(expression, part)                                                            \
    do {                                                                                          \
        bool thrown_ = false;                                                                     \
        try {                                                                                     \
            (void)(expression);                                                                   \
        } catch (const std::exception& error_) {                                                  \
            thrown_ = true;                                                                       \
            const std::string said_ = error_.what();                                              \
            check::report(said_.find(part) != std::string::npos, #expression, __FILE__, __LINE__, \
                          "is \"" + said_ + "\", not \"" + (part) + "\"");                      \
        }                                                                                         \
        check::report(thrown_, #expression, __FILE__, __LINE__, "throws nothing");                \
    } while (false)

#define CHECK_RESULT() (check::failures() == 0 ? 0 : 1)
