// SPDX-License-Identifier: BSD-3-Clause
// Tensors in C order, their types, shapes and memory.
#include "graph/base/tensor.hpp"

#include <algorithm>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fastcalo::graph {

const char* name_of(Type type) {
    switch (type) {
        case Type::f32:
            return "float32";
        case Type::u8:
            return "uint8";
        case Type::i16:
            return "int16";
        case Type::i32:
            return "int32";
        case Type::i64:
            return "int64";
        case Type::boolean:
            return "bool";
        case Type::none:
            break;
    }
    return "none";
}

Type type_of(std::int64_t number) {
    switch (number) {
        case 1:
        case 2:
        case 5:
        case 6:
        case 7:
        case 9:
            return static_cast<Type>(number);
        default:
            throw Error("the type of element number " + std::to_string(number) + " is not supported");
    }
}

Shape::Shape(std::initializer_list<std::int64_t> lengths)
    : Shape(of(lengths.begin(), static_cast<int>(lengths.size()))) {}

Shape Shape::of(const std::int64_t* lengths, std::int64_t rank) {
    if (rank > kMaxRank) throw Error("a tensor of " + std::to_string(rank) + " axes, but at most 6 are supported");
    Shape s;
    s.rank = static_cast<int>(rank);
    for (int i = 0; i < s.rank; ++i) s[i] = lengths[i];
    return s;
}

std::int64_t Shape::checked_count() const {
    std::int64_t n = 1;
    bool none = false;
    for (int i = 0; i < rank; ++i) {
        const std::int64_t length = (*this)[i];
        if (length < 0 || length > kMaxElements) throw Error("a tensor of shape " + text() + " is not possible");
        if (length == 0) {
            none = true;
            continue;
        }
        n *= length;
        if (n > kMaxElements) throw Error("a tensor of shape " + text() + " is too large");
    }
    return none ? 0 : n;
}

std::string Shape::text() const {
    std::string s = "[";
    for (int i = 0; i < rank; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + "]";
}

Arena::~Arena() {
    for (void* p : slabs_) ::operator delete(p, std::align_val_t{kHugePage});
}

Buffer* Arena::grow(unsigned k) {
    const std::size_t bytes = std::size_t{1} << (k + kSmallest);
    if (bytes > limit_ || held_ > limit_ - bytes)
        throw Error("a run needs more than the " + std::to_string(limit_ >> 20) + " MiB that it may take");
    // vectors are read and written whole, beyond the last element
    const std::size_t need = sizeof(Buffer) + bytes + kPadding;
    if (left_ < need) add_slab(need);
    Buffer* b = new (next_) Buffer;
    next_ += need;
    left_ -= need;
    held_ += bytes;
    b->capacity = bytes;
    b->users = 1;
    b->size_class = k;
    return b;
}

Buffer* Arena::take_filled(std::size_t bytes, std::uint64_t value, std::size_t element) {
    for (Buffer** at = &filled_; *at; at = &(*at)->next) {
        Buffer* const b = *at;
        if (b->size_class != size_class(bytes) || b->value != value || b->element != element) continue;
        *at = b->next;
        b->users = 1;
        return b;
    }
    Buffer* const b = take(bytes);
    fill(b->bytes(), b->capacity / element, value, element);
    b->value = value;
    b->element = static_cast<std::uint8_t>(element);
    b->kept = true;
    return b;
}

void Arena::clean(Buffer* b) {
    for (std::uint32_t k = 0; k < b->n_places; ++k) {
        std::int64_t at = 0;
        if (b->wide == 8)
            at = reinterpret_cast<const std::int64_t*>(b->places)[k];
        else
            at = reinterpret_cast<const std::int32_t*>(b->places)[k];
        fill(b->bytes() + static_cast<std::size_t>(at) * b->element, 1, b->value, b->element);
    }
    b->n_places = 0;
    b->next = filled_;
    filled_ = b;
    if (Buffer* const owner = std::exchange(b->places_owner, nullptr)) drop(owner);
}

void fill(std::byte* to, std::size_t n, std::uint64_t value, std::size_t element) {
    switch (element) {
        case 1:
            return static_cast<void>(
                std::fill_n(reinterpret_cast<std::uint8_t*>(to), n, static_cast<std::uint8_t>(value)));
        case 2:
            return static_cast<void>(
                std::fill_n(reinterpret_cast<std::uint16_t*>(to), n, static_cast<std::uint16_t>(value)));
        case 4:
            return static_cast<void>(
                std::fill_n(reinterpret_cast<std::uint32_t*>(to), n, static_cast<std::uint32_t>(value)));
        default:
            return static_cast<void>(std::fill_n(reinterpret_cast<std::uint64_t*>(to), n, value));
    }
}

// Slabs double, so that a run of one shower takes little; what is left of the one before is lost.
void Arena::add_slab(std::size_t need) {
    const std::size_t doubled = kHugePage << std::min<std::size_t>(slabs_.size(), kMostDoublings);
    const std::size_t size = (std::max(doubled, need) + kHugePage - 1) / kHugePage * kHugePage;
    slabs_.reserve(slabs_.size() + 1);
    next_ = static_cast<std::byte*>(::operator new(size, std::align_val_t{kHugePage}));
    slabs_.push_back(next_);
    left_ = size;
#ifdef MADV_HUGEPAGE
    // a batch walks through tens of megabytes in steps longer than a page; a refusal only costs time
    static_cast<void>(madvise(next_, size, MADV_HUGEPAGE));
#endif
}

}  // namespace fastcalo::graph
