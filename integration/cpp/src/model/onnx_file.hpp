// SPDX-License-Identifier: BSD-3-Clause
// ONNX file: its metadata, and the digest of its graph and contract; nothing of it is run.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace fastcalo::core {

inline constexpr std::string_view METADATA_KEY = "fastcalo";
inline constexpr std::string_view DIGEST_KEY = "fastcalo_digest";

struct OnnxFile {
    std::map<std::string, std::string, std::less<>> metadata;
    std::string digest;  // SHA-256, hexadecimal, of all records but the metadata, and of the contract behind them

    [[nodiscard]] const std::string* find(std::string_view key) const;

    // Compares the digest with the one that was written at export. Returns whether the file holds one; throws Error
    // (contract) where it holds another, or where it must hold one and does not.
    bool check_digest(std::string_view where, bool required) const;
};

// Throws Error (contract) where the bytes are no records of Protocol Buffers, or the metadata are not UTF-8.
OnnxFile read_onnx(std::string_view image, std::string_view where);

// The bytes of a file. Throws Error (not_found).
std::string read_file(const std::string& path);

}  // namespace fastcalo::core
