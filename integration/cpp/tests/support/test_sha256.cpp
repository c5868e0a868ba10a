// SPDX-License-Identifier: BSD-3-Clause
// SHA-256 against the examples of FIPS 180-4, and in pieces of any length.
#include <string>

#include "../check.hpp"
#include "support/sha256.hpp"

using namespace fastcalo::core;

int main() {
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    const std::string million(1'000'000, 'a');
    const std::string want = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    CHECK(sha256(million) == want);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{55}, std::size_t{64}, std::size_t{1000}}) {
        Sha256 digest;
        for (std::size_t at = 0; at < million.size(); at += piece) digest.update(million.substr(at, piece));
        CHECK(digest.hex() == want);
    }
    return CHECK_RESULT();
}
