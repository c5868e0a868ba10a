// SPDX-License-Identifier: BSD-3-Clause
// Tensors in C order, their types, shapes and memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "graph/base/types.hpp"

namespace fastcalo::graph {

// A graph that cannot be read or run, and why.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

const char* name_of(Type type);

// Type of a number of ONNX; throws Error for a type that no graph of ours has.
Type type_of(std::int64_t number);

constexpr int kMaxRank = 6;
// More elements than any tensor here may have: sizes in bytes and products of two lengths stay far from overflow.
constexpr std::int64_t kMaxElements = std::int64_t{1} << 33;

// Lengths along the axes of a tensor.
struct Shape {
    std::array<std::int64_t, kMaxRank> d{};
    int rank = 0;

    Shape() = default;
    Shape(std::initializer_list<std::int64_t> lengths);
    static Shape of(const std::int64_t* lengths, std::int64_t rank);

    std::int64_t& operator[](int axis) { return d[static_cast<std::size_t>(axis)]; }
    std::int64_t operator[](int axis) const { return d[static_cast<std::size_t>(axis)]; }
    bool operator==(const Shape& other) const {
        if (rank != other.rank) return false;
        for (int i = 0; i < rank; ++i)
            if ((*this)[i] != other[i]) return false;
        return true;
    }
    bool operator!=(const Shape& other) const { return !(*this == other); }

    // Product of the lengths of axes first to last - 1.
    std::int64_t product(int first, int last) const {
        std::int64_t n = 1;
        for (int i = first; i < last; ++i) n *= (*this)[i];
        return n;
    }
    // Number of elements; throws Error where it is absurd.
    std::int64_t count() const {
        std::int64_t n = 1;
        for (int i = 0; i < rank; ++i) {
            const std::int64_t length = (*this)[i];
            // the product of two such lengths does not overflow
            if (static_cast<std::uint64_t>(length) > (std::uint64_t{1} << 28) || n > (std::int64_t{1} << 28))
                return checked_count();
            n *= length;
        }
        return n;
    }
    std::int64_t checked_count() const;
    std::string text() const;
};

// Bytes behind every piece of memory of an arena that may be read and written.
constexpr std::size_t kPadding = 128;

// A piece of memory of an arena, counted by those who use it; its bytes follow it.
struct alignas(64) Buffer {
    Buffer* next = nullptr;  // in a list of free ones
    std::size_t capacity = 0;
    std::uint32_t users = 0;
    std::uint32_t size_class = 0;
    // of a buffer that is filled with one value: the value, its bytes (0: not filled), and where elements differ
    std::uint64_t value = 0;
    const std::byte* places = nullptr;
    Buffer* places_owner = nullptr;
    std::uint32_t n_places = 0;
    std::uint8_t element = 0;
    std::uint8_t wide = 0;  // bytes of a place
    bool kept = false;      // filled throughout, and cleaned and kept so when nobody uses it

    std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};
static_assert(sizeof(Buffer) == 64);

// Memory of one run at a time: pieces whose sizes are powers of two, kept in lists when free.
//
// A run that repeats another takes all of its memory from the lists.
class Arena {
  public:
    explicit Arena(std::size_t limit) : limit_(limit) {}
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena();

    // A buffer of at least this many bytes with one user; throws Error beyond the limit.
    Buffer* take(std::size_t bytes) {
        const unsigned k = size_class(bytes);
        if (Buffer* b = free_[k]) {
            free_[k] = b->next;
            b->users = 1;
            b->element = 0;
            return b;
        }
        return grow(k);
    }
    // A buffer that holds a value of 1, 2, 4 or 8 bytes throughout. Who changes elements cleans them, or lists their
    // places in it, which lie inside and are not negative, and becomes a user of the buffer that they lie in: they are
    // cleaned when nobody uses the filled one any more. It stays filled for the next who asks.
    Buffer* take_filled(std::size_t bytes, std::uint64_t value, std::size_t element);
    void drop(Buffer* b) {
        if (--b->users) return;
        if (b->kept) return clean(b);
        b->next = free_[b->size_class];
        free_[b->size_class] = b;
    }
    std::size_t limit() const { return limit_; }

  private:
    static constexpr unsigned kSmallest = 8;  // 256 bytes
    static unsigned size_class(std::size_t bytes) {
        return bytes <= (std::size_t{1} << kSmallest)
                   ? 0
                   : 64 - static_cast<unsigned>(__builtin_clzll(bytes - 1)) - kSmallest;
    }
    static constexpr std::size_t kHugePage = std::size_t{2} << 20, kMostDoublings = 4;
    Buffer* grow(unsigned k);
    void clean(Buffer* b);
    void add_slab(std::size_t need);

    std::size_t limit_, held_ = 0;
    std::array<Buffer*, 64> free_{};
    Buffer* filled_ = nullptr;
    // pieces are cut from slabs, one after the other
    std::vector<void*> slabs_;
    std::byte* next_ = nullptr;
    std::size_t left_ = 0;
};

// Fill n elements of 1, 2, 4 or 8 bytes with a value.
void fill(std::byte* to, std::size_t n, std::uint64_t value, std::size_t element);

// A tensor: memory, its owner (none where it belongs to the graph or the caller), type and shape.
struct Tensor {
    std::byte* data = nullptr;
    Buffer* owner = nullptr;
    std::int64_t count = 0;
    Shape shape;
    Type type = Type::none;

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
    std::size_t bytes() const { return static_cast<std::size_t>(count) * size_of(type); }
};

}  // namespace fastcalo::graph
