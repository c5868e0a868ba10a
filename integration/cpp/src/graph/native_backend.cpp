// SPDX-License-Identifier: BSD-3-Clause
// The native engine behind the interface of backends.
#include "graph/native_backend.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "graph/graph.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {
namespace {

namespace native = fastcalo::graph;

class NativeBackend final : public Backend {
  public:
    NativeBackend(const void* bytes, std::size_t size) : model_(native::onnx::read(bytes, size)) {
        for (const native::onnx::ValueInfo& i : model_.graph.inputs) {
            TensorInfo t = info(i);
            t.optional = std::any_of(model_.graph.initializers.begin(), model_.graph.initializers.end(),
                                     [&](const native::onnx::Constant& c) { return c.name == i.name; });
            inputs_.push_back(t);
        }
        std::vector<std::string> lists;
        for (const native::onnx::ValueInfo& o : model_.graph.outputs) {
            outputs_.push_back(info(o));
            if (std::any_of(lists_of_hits.begin(), lists_of_hits.end(), [&](const std::string& tail) {
                    return o.name.size() > tail.size() &&
                           o.name.compare(o.name.size() - tail.size(), tail.size(), tail) == 0;
                }))
                lists.push_back(o.name);
        }
        // what is asked for first in all likelihood; it also reports early what is not known
        static_cast<void>(graph_for(lists));
    }

    std::string_view name() const noexcept override { return "native"; }
    std::size_t batch() const noexcept override { return 128; }
    const std::vector<TensorInfo>& inputs() const noexcept override { return inputs_; }
    const std::vector<TensorInfo>& outputs() const noexcept override { return outputs_; }

    std::vector<Tensor> run(const std::vector<TensorView>& inputs,
                            const std::vector<std::string>& outputs) const override {
        try {
            const native::Graph& graph = graph_for(outputs);
            const native::Graph::Result result = graph.run(bound(graph, inputs));
            std::vector<Tensor> r(outputs.size());
            for (std::size_t k = 0; k < outputs.size(); ++k) {
                const auto at = std::find(graph.outputs().begin(), graph.outputs().end(), outputs[k]);
                const native::Tensor& t = result[static_cast<std::size_t>(at - graph.outputs().begin())];
                r[k].name = outputs[k];
                r[k].type = static_cast<DataType>(t.type);
                r[k].shape.assign(t.shape.d.begin(), t.shape.d.begin() + t.shape.rank);
                r[k].bytes.assign(t.data, t.data + t.bytes());
            }
            return r;
        } catch (const native::Error& e) {
            fail(Code::backend, std::string("native engine: ") + e.what());
        }
    }

  private:
    static const std::vector<std::string> lists_of_hits;

    static TensorInfo info(const native::onnx::ValueInfo& v) {
        return {v.name, static_cast<DataType>(v.type), v.lengths, false};
    }
    std::vector<native::Input> bound(const native::Graph& graph, const std::vector<TensorView>& given) const {
        std::vector<native::Input> r(graph.inputs().size());
        for (const TensorView& v : given) {
            const auto at = std::find_if(graph.inputs().begin(), graph.inputs().end(),
                                         [&](const native::GraphInput& i) { return i.name == v.name; });
            if (at == graph.inputs().end()) throw native::Error("the graph has no input '" + std::string(v.name) + "'");
            if (static_cast<int>(at->type) != static_cast<int>(v.type))
                throw native::Error("input '" + at->name + "' must be " + native::name_of(at->type));
            native::Input& i = r[static_cast<std::size_t>(at - graph.inputs().begin())];
            // an empty tensor may have no memory; it must not be taken for one that is left out
            i.data = v.data ? v.data : "";
            i.shape = native::Shape::of(v.shape.data(), static_cast<std::int64_t>(v.shape.size()));
        }
        return r;
    }
    const native::Graph& graph_for(const std::vector<std::string>& outputs) const {
        std::string key;
        std::vector<std::string> sorted = outputs;
        std::sort(sorted.begin(), sorted.end());
        for (const std::string& o : sorted) key += o + '\n';
        const std::lock_guard<std::mutex> lock(mutex_);
        std::unique_ptr<native::Graph>& graph = graphs_[key];
        if (!graph) graph = std::make_unique<native::Graph>(model_, sorted);
        return *graph;
    }

    native::onnx::Model model_;
    std::vector<TensorInfo> inputs_, outputs_;
    mutable std::mutex mutex_;
    mutable std::map<std::string, std::unique_ptr<native::Graph>> graphs_;  // by the outputs that they compute
};

const std::vector<std::string> NativeBackend::lists_of_hits = {"_shower", "_cell", "_deposit"};

}  // namespace

std::unique_ptr<Backend> open_native(std::string_view image) {
    try {
        return std::make_unique<NativeBackend>(image.data(), image.size());
    } catch (const native::Error& e) {
        fail(Code::backend, std::string("the native engine cannot load the graph: ") + e.what());
    }
}

}  // namespace fastcalo::core
