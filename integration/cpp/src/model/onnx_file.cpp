// SPDX-License-Identifier: BSD-3-Clause
#include "model/onnx_file.hpp"

#include <cstdint>
#include <fstream>
#include <stdexcept>

#include "support/errors.hpp"
#include "support/json.hpp"
#include "support/sha256.hpp"
#include "support/utf8.hpp"

namespace fastcalo::core {
namespace {

constexpr std::uint64_t METADATA_FIELD = 14;             // of ModelProto: metadata_props (onnx.proto)
constexpr std::uint64_t KEY_FIELD = 1, VALUE_FIELD = 2;  // of StringStringEntryProto
constexpr int LONGEST_VARINT = 10;

struct Record {
    std::uint64_t field = 0;
    std::string_view whole;
    std::string_view value;
};

// Records of a message of Protocol Buffers, one after the other.
class Records {
  public:
    explicit Records(std::string_view message) : message_(message) {}

    bool next(Record& record) {
        if (at_ >= message_.size()) return false;
        const std::size_t begin = at_;
        const std::uint64_t tag = varint();
        std::size_t start = at_;
        std::uint64_t length = 0;
        switch (tag & 7) {
            case 0:
                (void)varint();
                break;
            case 1:
                length = 8;
                break;
            case 2:
                length = varint();
                start = at_;
                break;
            case 5:
                length = 4;
                break;
            default:
                wrong("unknown kind " + std::to_string(tag & 7) + " of record");
        }
        if (length > message_.size() - at_) wrong("a record ends behind the end of the file,");
        at_ += static_cast<std::size_t>(length);
        record = {tag >> 3, message_.substr(begin, at_ - begin), message_.substr(start, at_ - start)};
        return true;
    }

  private:
    [[noreturn]] void wrong(const std::string& what) const {
        throw std::invalid_argument(what + " at byte " + std::to_string(at_));
    }

    std::uint64_t varint() {
        std::uint64_t number = 0;
        for (int k = 0; k < LONGEST_VARINT; ++k) {
            if (at_ >= message_.size()) wrong("a number is cut short");
            const auto byte = static_cast<std::uint8_t>(message_[at_++]);
            if (k < 9 || (byte & 0x7E) == 0)
                number |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * k);
            else
                wrong("a number of more than 64 bits");
            if (byte < 0x80) return number;
        }
        wrong("a number without an end");
    }

    std::string_view message_;
    std::size_t at_ = 0;
};

void read_entry(std::string_view entry, OnnxFile& file) {
    std::string key, value;
    Records records(entry);
    for (Record record; records.next(record);) {
        if (!is_utf8(record.value)) throw std::invalid_argument("a text of the metadata is not UTF-8");
        if (record.field == KEY_FIELD) key = record.value;
        if (record.field == VALUE_FIELD) value = record.value;
    }
    file.metadata[key] = value;
}

}  // namespace

const std::string* OnnxFile::find(std::string_view key) const {
    const auto at = metadata.find(key);
    return at == metadata.end() ? nullptr : &at->second;
}

bool OnnxFile::check_digest(std::string_view where, bool required) const {
    const std::string* stored = find(DIGEST_KEY);
    const std::string file(where);
    if (stored == nullptr && required)
        fail(Code::contract, file + ": the digest of graph and contract (metadata '" + std::string(DIGEST_KEY) +
                                 "') is missing: the file was changed after its export; export the model again");
    if (stored != nullptr && *stored != digest)
        fail(Code::contract, file + ": graph or contract are not those that were exported (their digest is " +
                                 digest.substr(0, 16) + "..., but '" + stored->substr(0, 16) +
                                 "'... is written in the file): the file is damaged or was changed; get it again, or "
                                 "export the model again");
    return stored != nullptr;
}

OnnxFile read_onnx(std::string_view image, std::string_view where) {
    OnnxFile file;
    Sha256 digest;
    try {
        Records records(image);
        for (Record record; records.next(record);) {
            if (record.field == METADATA_FIELD)
                read_entry(record.value, file);
            else
                digest.update(record.whole);
        }
    } catch (const std::invalid_argument& error) {
        fail(Code::contract,
             std::string(where) + " is not an ONNX model, or is cut short or damaged (" + error.what() + ")");
    }
    if (const std::string* contract = file.find(METADATA_KEY)) digest.update(*contract);
    file.digest = digest.hex();
    return file;
}

std::string read_file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary | std::ios::ate);
    if (!stream) fail(Code::not_found, path + ": cannot be opened");
    const std::streamoff size = stream.tellg();
    // a folder can be opened, and has a size beyond all bounds; Protocol Buffers end at 2 GiB
    if (size < 0 || size >= std::streamoff{1} << 31)
        fail(Code::not_found, path + ": cannot be read: it is no file, or too large");
    std::string image(static_cast<std::size_t>(size), '\0');
    stream.seekg(0);
    if (!stream.read(image.data(), size)) fail(Code::not_found, path + ": cannot be read");
    return image;
}

}  // namespace fastcalo::core
