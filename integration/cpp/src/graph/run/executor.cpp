// SPDX-License-Identifier: BSD-3-Clause
// Plans, and what runs them.
#include "graph/run/executor.hpp"

#include <algorithm>
#include <ctime>
#include <map>
#include <new>
#include <set>

#include "graph/build/fuse.hpp"
#include "graph/run/operators.hpp"

namespace fastcalo::graph {
namespace {

struct Function {
    Op op;
    Instruction::Fn fn;
    Kind kind;
};

constexpr Function kFunctions[] = {
    {Op::Concat, run_concat, kLayout},
    {Op::ConstantOfShape, run_constant_of_shape, kLayout},
    {Op::CumSum, run_cumsum, kReduction},
    {Op::Gather, run_gather, kIndexing},
    {Op::GatherElements, run_gather_elements, kIndexing},
    {Op::If, run_if, kControl},
    {Op::Loop, run_loop, kControl},
    {Op::MatMul, run_matmul, kProduct},
    {Op::NonZero, run_nonzero, kIndexing},
    {Op::Range, run_range, kLayout},
    {Op::ReduceMax, run_reduce, kReduction},
    {Op::ReduceMin, run_reduce, kReduction},
    {Op::ReduceSum, run_reduce, kReduction},
    {Op::Reshape, run_reshape, kLayout},
    {Op::Scan, run_scan, kControl},
    {Op::ScatterElements, run_scatter, kIndexing},
    {Op::ScatterND, run_scatter_nd, kIndexing},
    {Op::ScatterTake, run_scatter_take, kIndexing},
    {Op::Shape, run_shape, kLayout},
    {Op::Slice, run_slice, kLayout},
    {Op::Softmax, run_softmax, kReduction},
    {Op::Split, run_split, kLayout},
    {Op::TopK, run_topk, kIndexing},
    {Op::Transpose, run_transpose, kLayout},
};

std::shared_ptr<float> aligned_floats(std::int64_t n) {
    const auto bytes = static_cast<std::size_t>(n) * sizeof(float) + 64;
    return {static_cast<float*>(::operator new(bytes, std::align_val_t{64})),
            [](float* p) { ::operator delete(p, std::align_val_t{64}); }};
}

void pack_left(const Tensor& a, bool turned, Instruction& i, const Kernels& k) {
    const std::int64_t depth = a.shape[turned ? 0 : 1], m = a.shape[turned ? 1 : 0];
    i.packed = aligned_floats(k.packed_size(depth, m));
    k.pack(i.packed.get(), a.as<float>(), depth, m, turned ? m : 1, turned ? 1 : depth);
}

// Choose the form of a product (operators_math.cpp), and pack the constant matrix.
void lower_product(const Ir& ir, Instruction& i, const Kernels& k) {
    const Value &a = ir.value(i.reads[0]), &b = ir.value(i.reads[1]);
    i.silu = i.p.mode == 1;
    const bool ta = i.p.flag, tb = i.p.flag2;
    if (b.is_constant) {
        const Shape& s = b.constant.shape;
        const std::int64_t depth = s[tb ? 1 : 0], n = s[tb ? 0 : 1];
        i.packed = aligned_floats(k.packed_size(depth, n));
        k.pack(i.packed.get(), b.constant.as<float>(), depth, n, tb ? 1 : n, tb ? depth : 1);
    } else {
        i.form = !tb ? 2 : a.is_constant ? 1 : 3;
        if (a.is_constant) pack_left(a.constant, ta, i, k);
    }
}

}  // namespace

double thread_seconds() {
    std::timespec t{};
#ifdef CLOCK_THREAD_CPUTIME_ID
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
#else
    std::timespec_get(&t, TIME_UTC);
#endif
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Instruction::Fn function_of(Op op, Kind* kind) {
    for (const Function& f : kFunctions)
        if (f.op == op) {
            *kind = f.kind;
            return f.fn;
        }
    throw Error(std::string("operator ") + name_of(op) + " cannot be run");
}

void execute(Run& run, const Code& code) {
    if (run.profile) {
        for (const Instruction& i : code.instructions) {
            const double begin = thread_seconds(), inside = run.profile->inside;
            run.profile->inside = 0;
            i.fn(run, i);
            const double took = thread_seconds() - begin;
            // what instructions of a body took counts as theirs, and the clock's own time as nobody's
            run.profile->seconds[i.kind] += std::max(took - run.profile->inside - run.profile->clock, 0.0);
            run.profile->inside = inside + took;
            ++run.profile->calls[i.kind];
            for (const int s : i.dead) run.release(s);
        }
        return;
    }
    for (const Instruction& i : code.instructions) {
        i.fn(run, i);
        for (const int s : i.dead) run.release(s);
    }
}

Instruction lower(Ir& ir, const Node& n, const Kernels& k) {
    Instruction i;
    i.reads = n.in;
    i.writes = n.out;
    i.op = n.op;
    i.p = n.p;
    i.fn = function_of(n.op, &i.kind);
    if (n.op == Op::MatMul) lower_product(ir, i, k);
    for (const int b : n.blocks) i.bodies.push_back(compile(ir, b, k));
    return i;
}

namespace {

// Mark, of each instruction, the slots that nobody reads after it.
void find_dead(Code& code, const std::vector<std::vector<int>>& reads) {
    std::map<int, std::size_t> last;
    for (std::size_t j = 0; j < code.instructions.size(); ++j)
        for (const int s : code.instructions[j].writes) last[s] = j;
    for (std::size_t j = 0; j < code.instructions.size(); ++j)
        for (const int s : reads[j])
            if (last.count(s) || std::count(code.inputs.begin(), code.inputs.end(), s)) last[s] = j;
    std::set<int> left;
    for (const int s : code.inputs)
        if (!last.count(s)) left.insert(s);
    for (const int s : code.outputs)
        if (last.erase(s)) left.insert(s);
    code.left.assign(left.begin(), left.end());
    for (const auto& [s, j] : last) code.instructions[j].releases.push_back(s);
    for (Instruction& i : code.instructions) {
        if (i.reads.empty()) continue;
        const int first = i.reads[0];
        const bool first_dies = std::count(i.releases.begin(), i.releases.end(), first) > 0;
        const bool again = std::count(i.reads.begin(), i.reads.end(), first) > 1;
        const bool state = first_dies && std::count(code.inputs.begin(), code.inputs.end(), first) > 0;
        if (i.op == Op::Concat) i.p.flag = state && !again;
        if (i.op == Op::ScatterElements || i.op == Op::ScatterND) i.p.flag = first_dies && !again;
    }
}

}  // namespace

void place_slots(std::vector<Instruction>& instructions, std::vector<int>& slots) {
    std::size_t n = 0;
    for (const Instruction& i : instructions) n += i.reads.size() + i.writes.size() + i.releases.size();
    slots.reserve(n);
    const auto place = [&slots](const std::vector<int>& from) {
        const int* first = slots.data() + slots.size();
        slots.insert(slots.end(), from.begin(), from.end());
        return Slots{first, from.size()};
    };
    for (Instruction& i : instructions) {
        i.in = place(i.reads);
        i.out = place(i.writes);
        i.dead = place(i.releases);
    }
}

std::shared_ptr<Code> compile(Ir& ir, int block, const Kernels& k) {
    auto code = std::make_shared<Code>();
    code->inputs = ir.block(block).inputs;
    code->outputs = ir.block(block).outputs;
    const std::vector<std::vector<int>> groups = group_nodes(ir, block);
    std::vector<std::vector<int>> reads;
    std::map<int, std::set<std::size_t>> readers;  // groups
    for (std::size_t g = 0; g < groups.size(); ++g)
        for (const int j : groups[g])
            for (const int v : reads_of(ir, ir.block(block).nodes[static_cast<std::size_t>(j)])) readers[v].insert(g);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto node = [&](int j) -> const Node& { return ir.block(block).nodes[static_cast<std::size_t>(j)]; };
        if (!is_elementwise(node(groups[g][0]).op)) {
            const Node n = node(groups[g][0]);
            code->instructions.push_back(lower(ir, n, k));
            reads.push_back(reads_of(ir, n));
            continue;
        }
        std::vector<const Node*> nodes;
        std::vector<char> outside;
        Instruction i;
        for (const int j : groups[g]) {
            const int v = node(j).out[0];
            nodes.push_back(&node(j));
            const std::set<std::size_t>& by = readers[v];
            const bool read = by.size() > by.count(g) || std::count(code->outputs.begin(), code->outputs.end(), v) > 0;
            outside.push_back(read);
        }
        i.fn = run_elementwise;
        i.kind = kElementwise;
        i.op = nodes[0]->op;
        i.program = std::make_shared<Program>(make_program(ir, nodes, outside, k));
        for (const Result& r : i.program->results) i.writes.push_back(r.slot);
        for (const Operand& o : i.program->operands) i.reads.push_back(o.slot);
        if (i.program->shape_slot >= 0) i.reads.push_back(i.program->shape_slot);
        reads.push_back(i.reads);
        code->instructions.push_back(std::move(i));
    }
    find_dead(*code, reads);
    place_slots(code->instructions, code->slots);
    return code;
}

std::vector<Tensor> evaluate(Ir& ir, const Node& n, Arena& arena) {
    std::vector<Tensor> slots(ir.values.size());
    std::vector<std::byte> scratch;
    Run run;
    run.slots = slots.data();
    run.arena = &arena;
    run.kernels = &kernels();
    run.scratch = &scratch;
    for (const int v : n.in)
        if (v != kAbsent) run.slot(v) = ir.value(v).constant;
    if (is_elementwise(n.op)) {
        const std::vector<const Node*> nodes = {&n};
        run_program(run, make_program(ir, nodes, {1}, kernels()));
    } else {
        std::vector<Instruction> one;
        std::vector<int> numbers;
        one.push_back(lower(ir, n, kernels()));
        place_slots(one, numbers);
        one[0].fn(run, one[0]);
    }
    std::vector<Tensor> out;
    for (const int v : n.out) out.push_back(run.slot(v));
    return out;
}

}  // namespace fastcalo::graph
