// SPDX-License-Identifier: BSD-3-Clause
// Operators that move elements, or give the same ones another shape.
#include "graph/run/operators.hpp"

namespace fastcalo::graph {
namespace {

template <class T>
void copy_lines(T* to, const T* from, const std::int64_t* length, const std::int64_t* stride, int levels) {
    const int inner = levels - 1;
    std::int64_t at[kMaxRank] = {};
    while (true) {
        if (stride[inner] == 1)
            std::memcpy(to, from, static_cast<std::size_t>(length[inner]) * sizeof(T));
        else
            for (std::int64_t i = 0; i < length[inner]; ++i) to[i] = from[i * stride[inner]];
        to += length[inner];
        int k = inner - 1;
        for (; k >= 0; --k) {
            from += stride[k];
            if (++at[k] < length[k]) break;
            from -= length[k] * stride[k];
            at[k] = 0;
        }
        if (k < 0) return;
    }
}

// A part of a tensor that lies in one piece.
void share_part(Run& run, int slot, const Tensor& of, std::int64_t first, const Shape& shape) {
    Tensor& t = run.share(slot, of);
    t.data = of.data + static_cast<std::size_t>(first) * size_of(of.type);
    t.shape = shape;
    t.count = shape.count();
}

Shape as_row(const Shape& s) {
    Shape row;
    row.rank = s.rank + 1;
    row[0] = 1;
    for (int k = 0; k < s.rank; ++k) row[k + 1] = s[k];
    return row;
}

// The columns of a matrix of `width`, from a narrow one of `own` columns.
template <class T>
void put_columns(std::byte* to, const std::byte* from, std::int64_t rows, std::int64_t own, std::int64_t width) {
    T* d = reinterpret_cast<T*>(to);
    const T* a = reinterpret_cast<const T*>(from);
    for (std::int64_t r = 0; r < rows; ++r, d += width, a += own)
        for (std::int64_t c = 0; c < own; ++c) d[c] = a[c];
}

using PutColumns = void (*)(std::byte*, const std::byte*, std::int64_t, std::int64_t, std::int64_t);
PutColumns put_columns_of(std::size_t element) {
    return element == 1   ? put_columns<std::uint8_t>
           : element == 2 ? put_columns<std::uint16_t>
           : element == 4 ? put_columns<std::uint32_t>
                          : put_columns<std::uint64_t>;
}

}  // namespace

void copy_strided(std::byte* to, const std::byte* from, const Shape& shape, const std::int64_t* stride,
                  std::size_t element) {
    std::int64_t length[kMaxRank] = {1}, by[kMaxRank] = {1};
    int levels = 0;
    for (int k = 0; k < shape.rank; ++k) {
        if (shape[k] == 0) return;
        if (shape[k] == 1) continue;
        if (levels && by[levels - 1] == stride[k] * shape[k]) {
            length[levels - 1] *= shape[k];
            by[levels - 1] = stride[k];
        } else {
            length[levels] = shape[k];
            by[levels++] = stride[k];
        }
    }
    levels = std::max(levels, 1);
    switch (element) {
        case 1:
            return copy_lines(reinterpret_cast<std::uint8_t*>(to), reinterpret_cast<const std::uint8_t*>(from), length,
                              by, levels);
        case 2:
            return copy_lines(reinterpret_cast<std::uint16_t*>(to), reinterpret_cast<const std::uint16_t*>(from),
                              length, by, levels);
        case 4:
            return copy_lines(reinterpret_cast<std::uint32_t*>(to), reinterpret_cast<const std::uint32_t*>(from),
                              length, by, levels);
        default:
            return copy_lines(reinterpret_cast<std::uint64_t*>(to), reinterpret_cast<const std::uint64_t*>(from),
                              length, by, levels);
    }
}

// With p.flag, the first input is not read again: what it holds may stay in place and be added to.
void run_concat(Run& run, const Instruction& i) {
    Tensor& first = run.slot(i.in[0]);
    // p.mode: the axes that a row lacks one of
    const auto shape_of = [&](std::size_t k) {
        const Shape& s = input(run, i, k).shape;
        return s.rank + 1 == i.p.mode ? as_row(s) : s;
    };
    Shape shape = shape_of(0);
    const int axis = static_cast<int>(i.p.axis);
    for (std::size_t k = 1; k < i.in.size(); ++k) {
        const Shape s = shape_of(k);
        for (int d = 0; d < shape.rank; ++d)
            if (d != axis && (s.rank != shape.rank || s[d] != shape[d]))
                throw Error("Concat: shapes " + shape.text() + " and " + s.text() + " do not fit");
        shape[axis] += s[axis];
    }
    const std::size_t element = size_of(first.type);
    const std::int64_t outer = shape.product(0, axis), inner = shape.product(axis + 1, shape.rank);
    const std::size_t bytes = static_cast<std::size_t>(shape.count()) * element;
    std::size_t k = 0;
    std::byte* to = nullptr;
    if (i.p.flag && outer == 1) {
        if (first.owner && first.owner->users == 1 && !first.owner->kept && first.data == first.owner->bytes() &&
            first.owner->capacity >= bytes) {
            first.owner->element = 0;
            Tensor& t = run.slot(i.out[0]);
            to = first.data + first.bytes();
            t = first;
            t.shape = shape;
            t.count = shape.count();
            first.owner = nullptr;
            k = 1;
        } else {
            // more than needed: the next iteration of the loop will add to it
            Tensor& t = run.slot(i.out[0]);
            t.type = first.type;
            t.shape = shape;
            t.count = shape.count();
            t.owner = run.arena->take(2 * bytes);
            to = t.data = t.owner->bytes();
        }
    } else {
        to = run.make(i.out[0], first.type, shape).data;
    }
    constexpr std::int64_t kNarrow = 8;
    const std::int64_t width = shape[axis] * inner;
    for (std::size_t j = k; j < i.in.size(); ++j) {
        const Tensor& t = input(run, i, j);
        const std::int64_t own = outer > 1 ? t.shape[axis] * inner : t.count;
        const std::size_t piece = static_cast<std::size_t>(own) * element;
        if (piece && outer > 1 && own <= kNarrow)
            put_columns_of(element)(to, t.data, outer, own, width);
        else if (piece)
            for (std::int64_t o = 0; o < outer; ++o)
                std::memcpy(to + static_cast<std::size_t>(o * width) * element,
                            t.data + static_cast<std::size_t>(o) * piece, piece);
        to += piece;
    }
}

void run_constant_of_shape(Run& run, const Instruction& i) {
    const Tensor& lengths = input(run, i, 0);
    if (lengths.type != Type::i64 || lengths.shape.rank != 1)
        throw Error("ConstantOfShape: the shape must be int64 [n]");
    const Shape shape = Shape::of(lengths.as<std::int64_t>(), lengths.count);
    Tensor& t = run.make(i.out[0], i.p.value.type, shape);
    const std::size_t element = size_of(t.type);
    std::uint64_t value = 0;
    std::memcpy(&value, i.p.value.data, element);
    fill(t.data, static_cast<std::size_t>(t.count), value, element);
    t.owner->value = value;
    t.owner->element = static_cast<std::uint8_t>(element);
}

void run_gather(Run& run, const Instruction& i) {
    const Tensor &from = input(run, i, 0), &index = input(run, i, 1);
    const Around a(from.shape, i.p.axis);
    Shape shape;
    for (int k = 0; k < from.shape.rank; ++k) {
        if (k != static_cast<int>(i.p.axis)) {
            shape[shape.rank++] = from.shape[k];
            continue;
        }
        for (int j = 0; j < index.shape.rank; ++j) shape[shape.rank++] = index.shape[j];
    }
    const auto at = [&](std::int64_t k) {
        std::int64_t j = integer_at(index, k);
        j = j < 0 ? j + a.length : j;
        if (j < 0 || j >= a.length) throw Error("Gather: an index is outside an axis of " + std::to_string(a.length));
        return j;
    };
    if (a.outer == 1 && index.count == 1) {
        share_part(run, i.out[0], from, at(0) * a.inner, shape);
        return;
    }
    Tensor& t = run.make(i.out[0], from.type, shape);
    const std::size_t element = size_of(from.type), piece = static_cast<std::size_t>(a.inner) * element;
    std::byte* to = t.data;
    if (a.inner == 1) {
        const int wide = static_cast<int>(size_of(index.type));
        const Places places = run.kernels->look(index.data, index.count, wide);
        for (std::int64_t o = 0; o < a.outer; ++o, to += static_cast<std::size_t>(index.count) * element)
            if (!run.kernels->take(to, from.data + static_cast<std::size_t>(o * a.length) * element, a.length,
                                   index.data, index.count, static_cast<int>(element), wide, places))
                throw Error("Gather: an index is outside an axis of " + std::to_string(a.length));
        return;
    }
    for (std::int64_t o = 0; o < a.outer; ++o)
        for (std::int64_t k = 0; k < index.count; ++k, to += piece) {
            const std::size_t line = static_cast<std::size_t>(o * a.length + at(k));
            if (piece) std::memcpy(to, from.data + line * piece, piece);
        }
}

void run_range(Run& run, const Instruction& i) {
    const std::int64_t first = integer_at(input(run, i, 0), 0), last = integer_at(input(run, i, 1), 0),
                       step = integer_at(input(run, i, 2), 0);
    for (std::size_t k = 0; k < 3; ++k)
        if (input(run, i, k).count != 1) throw Error("Range: its inputs must be single numbers");
    const std::int64_t far = std::int64_t{1} << 60;
    if (step == 0 || std::abs(first) > far || std::abs(last) > far || std::abs(step) > far)
        throw Error("Range: its limits are not possible");
    const std::int64_t n = std::max<std::int64_t>((last - first + step - (step > 0 ? 1 : -1)) / step, 0);
    Tensor& t = run.make(i.out[0], input(run, i, 0).type, Shape{n});
    if (t.type == Type::i64)
        for (std::int64_t k = 0; k < n; ++k) t.as<std::int64_t>()[k] = first + k * step;
    else
        for (std::int64_t k = 0; k < n; ++k) t.as<std::int32_t>()[k] = static_cast<std::int32_t>(first + k * step);
}

void run_reshape(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    Shape shape;
    const auto listed = [&](int k) { return std::count(i.p.list.begin(), i.p.list.end(), k) > 0; };
    if (i.p.mode == kTarget) {
        const Tensor& target = input(run, i, 1);
        if (target.type != Type::i64) throw Error("Reshape: the target shape must be int64");
        shape = Shape::of(target.as<std::int64_t>(), target.count);
        int open = -1;
        std::int64_t rest = 1;
        for (int k = 0; k < shape.rank; ++k) {
            if (shape[k] == 0 && k < from.shape.rank) shape[k] = from.shape[k];
            if (shape[k] == -1)
                open = k;
            else if (shape[k] < 0 || (shape[k] > 0 && rest > kMaxElements / shape[k]))
                throw Error("Reshape: the target shape " + shape.text() + " is not possible");
            else
                rest *= shape[k];
        }
        if (open >= 0) shape[open] = rest ? from.count / rest : 0;
    } else if (i.p.mode == kUnsqueeze) {
        shape.rank = from.shape.rank + static_cast<int>(i.p.list.size());
        for (int k = 0, j = 0; k < shape.rank; ++k) shape[k] = listed(k) ? 1 : from.shape[j++];
    } else {
        for (int k = 0; k < from.shape.rank; ++k)
            if (i.p.mode == kSqueeze ? !listed(k) : from.shape[k] != 1) shape[shape.rank++] = from.shape[k];
    }
    if (shape.count() != from.count)
        throw Error("Reshape: a tensor of shape " + from.shape.text() + " cannot have the shape " + shape.text());
    run.share(i.out[0], from).shape = shape;
}

void run_shape(Run& run, const Instruction& i) {
    const Shape& s = input(run, i, 0).shape;
    Tensor& t = run.make(i.out[0], Type::i64, Shape{i.p.list[1] - i.p.list[0] > 0 ? i.p.list[1] - i.p.list[0] : 0});
    for (std::int64_t k = 0; k < t.count; ++k) t.as<std::int64_t>()[k] = s[static_cast<int>(i.p.list[0] + k)];
}

// Semantics of starts and ends: negative ones count from the end; then they are clamped to the axis.
void run_slice(Run& run, const Instruction& i) {
    const Tensor &from = input(run, i, 0), &starts = input(run, i, 1), &ends = input(run, i, 2);
    const std::size_t n = i.p.list.size() / 2;
    if (starts.count != static_cast<std::int64_t>(n) || ends.count != starts.count)
        throw Error("Slice: starts, ends and axes differ in number");
    Shape shape = from.shape;
    std::int64_t stride[kMaxRank], offset = 0;
    for (int k = from.shape.rank - 1; k >= 0; --k)
        stride[k] = k == from.shape.rank - 1 ? 1 : stride[k + 1] * from.shape[k + 1];
    bool in_one_piece = true;
    for (std::size_t j = 0; j < n; ++j) {
        const int axis = static_cast<int>(i.p.list[j]);
        const std::int64_t step = i.p.list[n + j], length = from.shape[axis];
        std::int64_t a = integer_at(starts, static_cast<std::int64_t>(j));
        std::int64_t b = integer_at(ends, static_cast<std::int64_t>(j));
        a = a < 0 ? a + length : a;
        b = b < 0 ? b + length : b;
        std::int64_t count = 0;
        if (step > 0) {
            a = std::clamp<std::int64_t>(a, 0, length);
            b = std::clamp<std::int64_t>(b, 0, length);
            count = b > a ? (b - a - 1) / step + 1 : 0;
        } else {
            a = std::clamp<std::int64_t>(a, -1, length - 1);
            b = std::clamp<std::int64_t>(b, -1, length - 1);
            count = a > b ? (a - b - 1) / (-step) + 1 : 0;
        }
        offset += a * stride[axis];
        stride[axis] *= step;
        shape[axis] = count;
        in_one_piece = in_one_piece && step == 1 && (count == length || from.shape.product(0, axis) == 1);
    }
    if (shape.count() == 0) offset = 0;
    if (in_one_piece) {
        share_part(run, i.out[0], from, offset, shape);
        return;
    }
    Tensor& t = run.make(i.out[0], from.type, shape);
    const std::size_t element = size_of(from.type);
    copy_strided(t.data, from.data + offset * static_cast<std::int64_t>(element), shape, stride, element);
}

void run_split(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const int axis = static_cast<int>(i.p.axis);
    const Around a(from.shape, i.p.axis);
    const auto parts = static_cast<std::int64_t>(i.out.size());
    const std::int64_t part = (a.length + parts - 1) / parts;
    std::int64_t stride[kMaxRank], first = 0;
    for (int k = from.shape.rank - 1; k >= 0; --k)
        stride[k] = k == from.shape.rank - 1 ? 1 : stride[k + 1] * from.shape[k + 1];
    for (std::size_t j = 0; j < i.out.size(); ++j) {
        Shape shape = from.shape;
        shape[axis] = i.p.list.empty() ? std::max<std::int64_t>(std::min(part, a.length - first), 0) : i.p.list[j];
        if (first + shape[axis] > a.length || (j + 1 == i.out.size() && first + shape[axis] != a.length))
            throw Error("Split: the lengths do not add up to " + std::to_string(a.length));
        const std::int64_t offset = first * a.inner;
        if (a.outer == 1) {
            share_part(run, i.out[j], from, offset, shape);
        } else {
            Tensor& t = run.make(i.out[j], from.type, shape);
            const std::size_t element = size_of(from.type);
            copy_strided(t.data, from.data + static_cast<std::size_t>(offset) * element, shape, stride, element);
        }
        first += shape[axis];
    }
}

void run_transpose(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    Shape shape;
    shape.rank = from.shape.rank;
    std::int64_t stride[kMaxRank], turned[kMaxRank];
    for (int k = from.shape.rank - 1; k >= 0; --k)
        stride[k] = k == from.shape.rank - 1 ? 1 : stride[k + 1] * from.shape[k + 1];
    std::int64_t last = -1;
    bool same = true;  // axes that are longer than 1 stay in order
    for (int k = 0; k < shape.rank; ++k) {
        const std::int64_t axis = i.p.list[static_cast<std::size_t>(k)];
        shape[k] = from.shape[static_cast<int>(axis)];
        turned[k] = stride[axis];
        if (shape[k] == 1) continue;
        same = same && axis > last;
        last = axis;
    }
    if (same) {
        share_part(run, i.out[0], from, 0, shape);
        return;
    }
    Tensor& t = run.make(i.out[0], from.type, shape);
    copy_strided(t.data, from.data, shape, turned, size_of(from.type));
}

}  // namespace fastcalo::graph
