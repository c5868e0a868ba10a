// SPDX-License-Identifier: BSD-3-Clause
// Operators of arithmetic along axes: products of matrices, sums and softmax.
#include "graph/run/operators.hpp"

namespace fastcalo::graph {

void run_elementwise(Run& run, const Instruction& i) { run_program(run, *i.program); }

// Forms of a product Y = A B + C:
// 0: B is a constant, packed; 1: A is, and B stands the other way round: Y' = B A' is computed, into transposed memory;
// 2: B is read as it lies, or as 1 if it has few columns and A is a constant; 3: as 2, but B stands the other way round
// and is turned first.
void run_matmul(Run& run, const Instruction& i) {
    const Tensor &a = input(run, i, 0), &b = input(run, i, 1);
    const bool ta = i.p.flag, tb = i.p.flag2;
    const std::int64_t m = a.shape[ta ? 1 : 0], k = a.shape[ta ? 0 : 1], n = b.shape[tb ? 0 : 1];
    if (b.shape[tb ? 1 : 0] != k)
        throw Error("matrices of shapes " + a.shape.text() + " and " + b.shape.text() + " cannot be multiplied");
    Product p;
    std::int64_t bias_row = 0, bias_column = 0;
    if (i.in.size() == 3) {
        const Tensor& c = input(run, i, 2);
        const std::int64_t rows = c.shape.rank > 1 ? c.shape[0] : 1,
                           columns = c.shape.rank ? c.shape[c.shape.rank - 1] : 1;
        if (c.shape.rank > 2 || (rows != 1 && rows != m) || (columns != 1 && columns != n))
            throw Error("a bias of shape " + c.shape.text() + " does not fit a product of " + std::to_string(m) +
                        " by " + std::to_string(n));
        p.bias = c.as<float>();
        bias_row = rows == 1 ? 0 : columns;
        bias_column = columns == 1 ? 0 : 1;
    }
    p.d = run.make(i.out[0], Type::f32, Shape{m, n}).as<float>();
    p.k = k;
    p.silu = i.silu;
    constexpr std::int64_t kFewColumns = 8;
    const bool by_columns = i.form == 1 || (i.form == 2 && i.packed && n <= kFewColumns);
    if (by_columns) {
        p.m = n, p.n = m;
        p.a = b.as<float>();
        p.a_row = tb ? k : 1, p.a_column = tb ? 1 : n;
        p.d_row = 1, p.d_column = n;
        p.bias_row = bias_column, p.bias_column = bias_row;
    } else {
        p.m = m, p.n = n;
        p.a = a.as<float>();
        p.a_row = ta ? 1 : k, p.a_column = ta ? m : 1;
        p.d_row = n, p.d_column = 1;
        p.bias_row = bias_row, p.bias_column = bias_column;
    }
    p.packed = i.form == 0 || by_columns;
    p.b = p.packed ? i.packed.get() : b.as<float>();
    if (i.form == 3) {
        const std::int64_t stride[2] = {1, k};
        std::byte* turned = run.bytes(static_cast<std::size_t>(k * n + 16) * sizeof(float));
        copy_strided(turned, b.data, Shape{k, n}, stride, sizeof(float));
        p.b = reinterpret_cast<const float*>(turned);
    }
    if (run.profile)
        run.profile->multiplications += static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    run.kernels->product(p);
}

// Axes that are reduced must be neighbours; others are handled one after the other by the caller.
void run_reduce(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const std::vector<std::int64_t>& axes = i.p.list;
    Shape shape;
    for (int k = 0; k < from.shape.rank; ++k) {
        const bool reduced = std::count(axes.begin(), axes.end(), k) > 0;
        if (!reduced || i.p.flag) shape[shape.rank++] = reduced ? 1 : from.shape[k];
    }
    if (from.type != Type::f32 && from.type != Type::i64 && from.type != Type::i32)
        throw Error(std::string(name_of(i.op)) + " of " + name_of(from.type) + " is not supported");
    Tensor& t = run.make(i.out[0], from.type, shape);
    if (t.count == 0) return;
    if (axes.empty()) {
        std::memcpy(t.data, from.data, from.bytes());
        return;
    }
    if (axes.back() - axes.front() + 1 != static_cast<std::int64_t>(axes.size()))
        throw Error("reductions along axes that are no neighbours are not supported");
    const int first = static_cast<int>(axes.front()), last = static_cast<int>(axes.back()) + 1;
    const std::int64_t length = from.shape.product(first, last);
    if (length == 0) {
        if (i.op != Op::ReduceSum) throw Error("the largest or smallest of no elements");
        std::memset(t.data, 0, t.bytes());
        return;
    }
    const Op how = i.op == Op::ReduceSum ? Op::Add : i.op == Op::ReduceMax ? Op::Max : Op::Min;
    run.kernels->reduce(how, from.type, t.data, from.data, from.shape.product(0, first), length,
                        from.shape.product(last, from.shape.rank));
}

void run_softmax(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const Around a(from.shape, i.p.axis);
    Tensor& t = run.make(i.out[0], Type::f32, from.shape);
    if (t.count) run.kernels->softmax(t.as<float>(), from.as<float>(), a.outer, a.length, a.inner);
}

}  // namespace fastcalo::graph
