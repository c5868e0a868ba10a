// SPDX-License-Identifier: BSD-3-Clause
#include "support/errors.hpp"

#include <locale>
#include <sstream>

namespace fastcalo::core {

void fail(Code code, const std::string& message) { throw Error(code, message); }

std::string text(double value) {
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out << value;
    return out.str();
}

}  // namespace fastcalo::core
