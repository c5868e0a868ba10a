// SPDX-License-Identifier: BSD-3-Clause
// Executor of the graphs of our models: loaded once, run by any number of threads at a time.
#include "graph/graph.hpp"

#include <map>

#include "graph/build/join.hpp"

namespace fastcalo::graph {
namespace {

std::size_t count_instructions(const Code& code) {
    std::size_t n = code.instructions.size();
    for (const Instruction& i : code.instructions)
        for (const auto& body : i.bodies) n += count_instructions(*body);
    return n;
}

}  // namespace

Graph::Graph(const onnx::Model& model, const std::vector<std::string>& outputs, std::size_t limit)
    : ir_(std::make_unique<Ir>(model, outputs)), limit_(limit) {
    for (const GraphInput& i : ir_->inputs) {
        int v = kAbsent;
        for (const onnx::Constant& c : model.graph.initializers) {
            if (c.name != i.name) continue;
            Tensor t;
            t.type = c.type;
            t.shape = c.shape;
            t.count = c.shape.count();
            t.data = const_cast<std::byte*>(c.bytes.data());
            v = ir_->constant(t);
        }
        defaults_.push_back(v);
    }
    join_products(*ir_);
    join_scatters(*ir_);
    join_lines(*ir_);
    skip_reshapes(*ir_);
    code_ = compile(*ir_, 0, kernels());
    instructions_ = count_instructions(*code_);
    initial_.resize(ir_->values.size());
    for (std::size_t k = 0; k < initial_.size(); ++k)
        if (ir_->values[k].is_constant) initial_[k] = ir_->values[k].constant;
}

std::vector<std::int64_t> Graph::output_lengths(std::size_t k) const {
    std::vector<std::int64_t> r;
    for (const Dim d : ir_->value(code_->outputs[k]).dims) {
        std::int64_t n = -1;
        ir_->symbols.is_constant(d, &n);
        r.push_back(n);
    }
    return r;
}

Graph::Result::~Result() {
    if (!workspace_) return;
    Run run;
    run.slots = workspace_->slots.data();
    run.arena = workspace_->arena.get();
    for (const int s : graph_->code_->left) run.release(s);
    graph_->spares_.give(std::move(workspace_));
}

std::unique_ptr<Workspace> Graph::take() const {
    if (std::unique_ptr<Workspace> w = spares_.take()) return w;
    auto w = std::make_unique<Workspace>();
    w->slots = initial_;
    w->arena = std::make_unique<Arena>(limit_);
    return w;
}

void Graph::bind(Run& run, const std::vector<Input>& inputs) const {
    if (inputs.size() != ir_->inputs.size())
        throw Error("the graph takes " + std::to_string(ir_->inputs.size()) + " inputs, not " +
                    std::to_string(inputs.size()));
    std::map<Dim, std::int64_t> lengths;  // of axes that share a name
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        const GraphInput& want = ir_->inputs[k];
        Tensor& t = run.slot(want.value);
        if (!inputs[k].data && defaults_[k] >= 0) {
            t = initial_[static_cast<std::size_t>(defaults_[k])];
        } else {
            t.shape = inputs[k].shape;
            t.count = t.shape.count();
            t.type = want.type;
            t.owner = nullptr;
            t.data = static_cast<std::byte*>(const_cast<void*>(inputs[k].data));
            if (!t.data && t.count) throw Error("input '" + want.name + "' is missing");
            // an empty one may have no memory: any address will do
            static std::byte nothing[64];
            if (!t.data) t.data = nothing;
        }
        const std::vector<Dim>& dims = ir_->value(want.value).dims;
        bool fits = t.shape.rank == static_cast<int>(dims.size());
        for (int d = 0; fits && d < t.shape.rank; ++d) {
            std::int64_t fixed = 0;
            const Dim dim = dims[static_cast<std::size_t>(d)];
            if (ir_->symbols.is_constant(dim, &fixed))
                fits = t.shape[d] == fixed;
            else
                fits = lengths.try_emplace(dim, t.shape[d]).first->second == t.shape[d];
        }
        if (!fits) throw Error("input '" + want.name + "' has the shape " + t.shape.text() + ", against the graph");
    }
}

Graph::Result Graph::run(const std::vector<Input>& inputs, bool profile) const {
    std::unique_ptr<Workspace> w = take();
    Run run;
    run.slots = w->slots.data();
    run.arena = w->arena.get();
    run.kernels = &kernels();
    run.scratch = &w->scratch;
    w->profile = Profile{};
    run.profile = profile ? &w->profile : nullptr;
    if (profile) {
        const double begin = thread_seconds();
        for (int k = 0; k < 100; ++k) static_cast<void>(thread_seconds());
        w->profile.clock = (thread_seconds() - begin) / 101;
    }
    // after an error the workspace goes: its slots may hold anything
    bind(run, inputs);
    execute(run, *code_);
    return Result(this, std::move(w));
}

}  // namespace fastcalo::graph
