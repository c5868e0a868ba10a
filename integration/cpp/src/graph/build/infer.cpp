// SPDX-License-Identifier: BSD-3-Clause
// Types, shapes and contents of the outputs of nodes, before a graph runs.
#include <algorithm>

#include "graph/base/names.hpp"
#include "graph/build/ir.hpp"

namespace fastcalo::graph {
namespace {

class Inference {
  public:
    Inference(Ir& ir, const Node& n, std::size_t outputs) : ir_(ir), s_(ir.symbols), n_(n), outputs_(outputs) {}

    std::vector<Inferred> run() {
        if (is_elementwise(n_.op)) return {elementwise()};
        switch (n_.op) {
            case Op::Concat:
                return {concat()};
            case Op::ConstantOfShape:
                return {{n_.p.value.type, content_of(0, "shape"), false, {}}};
            case Op::CumSum:
            case Op::Softmax:
                if (n_.op == Op::Softmax) need(0, Type::f32);
                axis(0);
                return {{type(0), dims(0), false, {}}};
            case Op::Gather:
                return {gather()};
            case Op::GatherElements:
                same_rank(0, 1);
                axis(0);
                need_index(1);
                return {{type(0), dims(1), false, {}}};
            case Op::MatMul:
                return {matmul()};
            case Op::NonZero:
                return {{Type::i64, {number(static_cast<std::int64_t>(dims(0).size())), own()}, false, {}}};
            case Op::Range:
                return {range()};
            case Op::ReduceMax:
            case Op::ReduceMin:
            case Op::ReduceSum:
                return {reduce()};
            case Op::Reshape:
                return {reshape()};
            case Op::ScatterElements:
                same_rank(0, 1);
                same_rank(1, 2);
                axis(0);
                need_index(1);
                if (type(0) != type(2)) fail("updates of another type");
                return {{type(0), dims(0), false, {}}};
            case Op::ScatterND:
                need(1, Type::i64);
                if (type(0) != type(2)) fail("updates of another type");
                return {{type(0), dims(0), false, {}}};
            case Op::Shape:
                return {shape()};
            case Op::Slice:
                return {slice()};
            case Op::Split:
                return split();
            case Op::TopK:
                axis(0);
                return {{type(0), dims(0), false, {}}, {Type::i64, dims(0), false, {}}};
            case Op::Transpose:
                return {transpose()};
            default:
                fail("no rule for its shape");
        }
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(std::string("operator ") + name_of(n_.op) + ": " + what);
    }
    const Value& in(std::size_t k) const {
        if (k >= n_.in.size() || n_.in[k] == kAbsent) fail("an input is missing");
        return ir_.value(n_.in[k]);
    }
    Type type(std::size_t k) const { return in(k).type; }
    const std::vector<Dim>& dims(std::size_t k) const { return in(k).dims; }
    Dim number(std::int64_t v) { return s_.constant(v); }
    // A number that nothing is known of but that this node gives it.
    Dim own(int k = 0) { return s_.function("value", static_cast<int>(ir_.values.size()), k); }
    void need(std::size_t k, Type t) const {
        if (type(k) != t) fail(std::string("input of type ") + name_of(type(k)) + ", not " + name_of(t));
    }
    void need_index(std::size_t k) const {
        if (type(k) != Type::i32 && type(k) != Type::i64) fail("indices must be int32 or int64");
    }
    void same_rank(std::size_t a, std::size_t b) const {
        if (dims(a).size() != dims(b).size()) fail("inputs have different numbers of axes");
    }
    std::size_t axis(std::size_t k) const {
        if (n_.p.axis < 0 || n_.p.axis >= static_cast<std::int64_t>(dims(k).size())) fail("axis out of range");
        return static_cast<std::size_t>(n_.p.axis);
    }
    std::vector<Dim> content_of(std::size_t k, const char* what) const {
        if (!in(k).has_content) fail(std::string("the number of axes does not follow from its input: ") + what);
        return in(k).content;
    }
    bool content(std::size_t k, Dim* d) const {
        if (!in(k).has_content || in(k).content.size() != 1) return false;
        *d = in(k).content[0];
        return true;
    }

    Inferred elementwise() {
        Inferred r;
        if (n_.op == Op::Take) {
            if (dims(0).size() != 1) fail("a vector is needed");
            need_index(1);
            return {type(0), dims(1), false, {}};
        }
        if (n_.op == Op::Expand) {
            r.type = type(0);
            r.dims = broadcast(dims(0), content_of(1, "shape"));
            return r;
        }
        for (std::size_t k = 0; k < n_.in.size(); ++k) r.dims = k ? broadcast(r.dims, dims(k)) : dims(k);
        r.type = result_type();
        infer_content(r);
        return r;
    }
    Type result_type() const {
        const std::size_t first = n_.op == Op::Where ? 1 : 0;
        for (std::size_t k = first; k < n_.in.size(); ++k)
            if (type(k) != type(first)) fail("inputs have different types");
        switch (n_.op) {
            case Op::Where:
                need(0, Type::boolean);
                return type(1);
            case Op::Cast:
                return static_cast<Type>(n_.p.mode);
            case Op::Equal:
            case Op::Less:
            case Op::LessOrEqual:
                return Type::boolean;
            default:
                return type(0);
        }
    }
    std::vector<Dim> broadcast(const std::vector<Dim>& a, const std::vector<Dim>& b) {
        std::vector<Dim> r(std::max(a.size(), b.size()));
        for (std::size_t k = 1; k <= r.size(); ++k) {
            const Dim da = k <= a.size() ? a[a.size() - k] : number(1);
            const Dim db = k <= b.size() ? b[b.size() - k] : number(1);
            r[r.size() - k] = s_.broadcast(da, db);
        }
        return r;
    }
    void infer_content(Inferred& r) {
        if (n_.op == Op::Cast && in(0).has_content && (r.type == Type::i32 || r.type == Type::i64)) {
            r.has_content = true;
            r.content = in(0).content;
            return;
        }
        if (n_.in.size() != 2 || !in(0).has_content || !in(1).has_content || r.dims.size() > 1) return;
        std::vector<Dim> a = in(0).content, b = in(1).content;
        const std::size_t n = std::max(a.size(), b.size());
        if (a.size() == 1) a.resize(n, a[0]);
        if (b.size() == 1) b.resize(n, b[0]);
        if (a.size() != b.size()) return;
        for (std::size_t k = 0; k < n; ++k) {
            switch (n_.op) {
                case Op::Add:
                    r.content.push_back(s_.add(a[k], b[k]));
                    break;
                case Op::Sub:
                    r.content.push_back(s_.subtract(a[k], b[k]));
                    break;
                case Op::Mul:
                    r.content.push_back(s_.multiply(a[k], b[k]));
                    break;
                case Op::Max:
                case Op::Min:
                case Op::Div:
                    r.content.push_back(s_.function(name_of(n_.op), a[k], b[k]));
                    break;
                default:
                    return;
            }
        }
        r.has_content = true;
    }

    Inferred concat() {
        Inferred r{type(0), dims(0), true, {}};
        const std::size_t at = axis(0);
        for (std::size_t k = 0; k < n_.in.size(); ++k) {
            if (type(k) != r.type) fail("inputs have different types");
            same_rank(0, k);
            if (k) r.dims[at] = s_.add(r.dims[at], dims(k)[at]);
            r.has_content = r.has_content && in(k).has_content && dims(k).size() == 1;
            if (r.has_content) r.content.insert(r.content.end(), in(k).content.begin(), in(k).content.end());
        }
        if (!r.has_content) r.content.clear();
        return r;
    }
    Inferred gather() {
        need_index(1);
        Inferred r{type(0), {}, false, {}};
        const std::size_t at = axis(0);
        r.dims.assign(dims(0).begin(), dims(0).begin() + static_cast<std::ptrdiff_t>(at));
        r.dims.insert(r.dims.end(), dims(1).begin(), dims(1).end());
        r.dims.insert(r.dims.end(), dims(0).begin() + static_cast<std::ptrdiff_t>(at) + 1, dims(0).end());
        if ((r.type == Type::i64 || r.type == Type::i32) && s_.product(r.dims) == number(1)) {
            r.has_content = true;
            r.content = {own()};
        }
        return r;
    }
    Inferred matmul() {
        need(0, Type::f32);
        need(1, Type::f32);
        if (dims(0).size() != 2 || dims(1).size() != 2) fail("matrices are needed");
        return {Type::f32, {dims(0)[n_.p.flag ? 1 : 0], dims(1)[n_.p.flag2 ? 0 : 1]}, false, {}};
    }
    Inferred range() {
        Inferred r{type(0), {own()}, false, {}};
        if (r.type != Type::i64 && r.type != Type::i32) fail("only ranges of integers are supported");
        need(1, r.type);
        need(2, r.type);
        Dim first, last, step;
        std::int64_t by = 0;
        if (content(0, &first) && content(1, &last) && content(2, &step) && s_.is_constant(step, &by) && by == 1)
            r.dims[0] = s_.subtract(last, first);
        return r;
    }
    Inferred reduce() {
        Inferred r{type(0), {}, false, {}};
        for (std::size_t k = 0; k < dims(0).size(); ++k) {
            const bool reduced = std::count(n_.p.list.begin(), n_.p.list.end(), static_cast<std::int64_t>(k)) > 0;
            if (!reduced) r.dims.push_back(dims(0)[k]);
            if (reduced && n_.p.flag) r.dims.push_back(number(1));
        }
        if ((r.type == Type::i64 || r.type == Type::i32) && s_.product(r.dims) == number(1) && r.dims.size() < 2) {
            r.has_content = true;
            r.content = {own()};
        }
        return r;
    }
    Inferred reshape() {
        Inferred r{type(0), {}, false, {}};
        if (n_.p.mode == kTarget)
            r.dims = reshaped();
        else if (n_.p.mode == kUnsqueeze)
            r.dims = unsqueezed();
        else
            r.dims = squeezed();
        if (in(0).has_content && r.dims.size() < 2) {
            r.has_content = true;
            r.content = in(0).content;
        }
        return r;
    }
    std::vector<Dim> reshaped() {
        std::vector<Dim> want = content_of(1, "target shape"), r;
        std::size_t open = want.size();
        Dim rest = number(1);
        for (std::size_t k = 0; k < want.size(); ++k) {
            std::int64_t v = 0;
            const bool known = s_.is_constant(want[k], &v);
            if (known && v == 0 && k >= dims(0).size()) fail("a length of 0 has no axis to be taken from");
            r.push_back(known && v == 0 ? dims(0)[k] : want[k]);
            if (known && v == -1) {
                if (open != want.size()) fail("two lengths are left open");
                open = k;
            } else {
                rest = s_.multiply(rest, r.back());
            }
        }
        if (open != want.size()) r[open] = s_.divide(s_.product(dims(0)), rest);
        return r;
    }
    std::vector<Dim> unsqueezed() {
        std::vector<Dim> r;
        const std::size_t rank = dims(0).size() + n_.p.list.size();
        std::size_t from = 0;
        for (std::size_t k = 0; k < rank; ++k) {
            if (std::count(n_.p.list.begin(), n_.p.list.end(), static_cast<std::int64_t>(k)))
                r.push_back(number(1));
            else if (from < dims(0).size())
                r.push_back(dims(0)[from++]);
        }
        if (r.size() != rank) fail("axes are out of range or given twice");
        return r;
    }
    std::vector<Dim> squeezed() {
        std::vector<Dim> r;
        for (std::size_t k = 0; k < dims(0).size(); ++k) {
            const bool named = std::count(n_.p.list.begin(), n_.p.list.end(), static_cast<std::int64_t>(k)) > 0;
            if (n_.p.mode == kSqueezeAll && !s_.is_constant(dims(0)[k]))
                fail("without axes, for a shape that is not known");
            if (!named && !(n_.p.mode == kSqueezeAll && dims(0)[k] == number(1))) r.push_back(dims(0)[k]);
        }
        return r;
    }
    Inferred shape() {
        const std::int64_t rank = static_cast<std::int64_t>(dims(0).size());
        Inferred r{Type::i64, {}, true, {}};
        for (std::int64_t k = n_.p.list[0]; k < std::min(n_.p.list[1], rank); ++k)
            r.content.push_back(dims(0)[static_cast<std::size_t>(k)]);
        r.dims = {number(static_cast<std::int64_t>(r.content.size()))};
        return r;
    }
    // Inputs: data, starts, ends, axes, steps; the last two are constants, held in list: axes, then steps.
    Inferred slice() {
        Inferred r{type(0), dims(0), false, {}};
        const std::size_t n = n_.p.list.size() / 2;
        need_index(1);
        need_index(2);
        for (std::size_t k = 0; k < n; ++k) {
            const auto at = static_cast<std::size_t>(n_.p.list[k]);
            if (at >= r.dims.size()) fail("axis out of range");
            r.dims[at] = sliced(r.dims[at], k, n_.p.list[n + k]);
        }
        if (in(0).has_content && in(1).is_constant && in(2).is_constant && n == 1 && r.dims.size() == 1) {
            std::int64_t length = 0, step = n_.p.list[1];
            const std::int64_t first = clamped(ir_.integers(n_.in[1], "starts")[0], in(0).content.size());
            if (s_.is_constant(r.dims[0], &length) && step == 1 && length >= 0 &&
                first + length <= static_cast<std::int64_t>(in(0).content.size())) {
                r.has_content = true;
                for (std::int64_t k = 0; k < length; ++k)
                    r.content.push_back(in(0).content[static_cast<std::size_t>(first + k)]);
            }
        }
        return r;
    }
    static std::int64_t clamped(std::int64_t at, std::size_t n) {
        const auto length = static_cast<std::int64_t>(n);
        return std::clamp<std::int64_t>(at < 0 ? at + length : at, 0, length);
    }
    Dim sliced(Dim length, std::size_t k, std::int64_t step) {
        if (!in(1).has_content || !in(2).has_content || in(1).content.size() <= k || in(2).content.size() <= k)
            return own(static_cast<int>(k));
        const Dim first = in(1).content[k], last = in(2).content[k];
        std::int64_t a = 0, b = 0, n = 0;
        const bool a_known = s_.is_constant(first, &a), b_known = s_.is_constant(last, &b);
        if (a_known && b_known && s_.is_constant(length, &n) && step == 1) {
            const auto size = static_cast<std::size_t>(std::max<std::int64_t>(n, 0));
            return number(std::max<std::int64_t>(clamped(b, size) - clamped(a, size), 0));
        }
        std::int64_t spare = 0;
        if (step == 1 && a_known && a >= 0 && b_known && b < 0) return s_.add(length, number(b - a));
        if (step == 1 && a_known && a >= 0 && s_.is_constant(s_.subtract(length, last), &spare) && spare >= 0)
            return s_.subtract(last, first);
        if (step == 1 && !a_known && !b_known) return s_.subtract(last, first);
        const Dim ends = s_.function("ends", first, last);
        return s_.function(step == 1 ? "slice" : std::to_string(step).c_str(), length, ends);
    }
    std::vector<Inferred> split() {
        const std::size_t at = axis(0);
        std::vector<Inferred> r(outputs_, Inferred{type(0), dims(0), false, {}});
        for (std::size_t k = 0; k < outputs_; ++k) {
            std::int64_t n = 0;
            if (!n_.p.list.empty()) {
                r[k].dims[at] = number(n_.p.list[k]);
                continue;
            }
            if (!s_.is_constant(dims(0)[at], &n)) fail("into equal parts, of a length that is not known");
            const auto parts = static_cast<std::int64_t>(outputs_);
            const std::int64_t part = (n + parts - 1) / parts, first = part * static_cast<std::int64_t>(k);
            r[k].dims[at] = number(std::max<std::int64_t>(std::min(part, n - first), 0));
        }
        return r;
    }
    Inferred transpose() {
        Inferred r{type(0), {}, false, {}};
        std::vector<std::int64_t> sorted = n_.p.list;
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t k = 0; k < sorted.size(); ++k)
            if (sorted[k] != static_cast<std::int64_t>(k) || sorted.size() != dims(0).size())
                fail("perm is no permutation of the axes");
        for (const std::int64_t k : n_.p.list) r.dims.push_back(dims(0)[static_cast<std::size_t>(k)]);
        return r;
    }

    Ir& ir_;
    Symbols& s_;
    const Node& n_;
    std::size_t outputs_;
};

}  // namespace

std::vector<Inferred> infer(Ir& ir, const Node& n, std::size_t outputs) {
    std::vector<Inferred> r = Inference(ir, n, outputs).run();
    for (Inferred& i : r) {
        if (i.dims.size() > kMaxRank)
            throw Error(std::string("operator ") + name_of(n.op) + " gives a tensor of too many axes");
        if (i.content.size() > 64) i.has_content = false, i.content.clear();
    }
    return r;
}

}  // namespace fastcalo::graph
