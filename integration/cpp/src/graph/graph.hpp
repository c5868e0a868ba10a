// SPDX-License-Identifier: BSD-3-Clause
// Executor of the graphs of our models: loaded once, run by any number of threads at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/run/executor.hpp"
#include "support/spares.hpp"

namespace fastcalo::graph {

// An input that the caller owns; no data for one that is left out.
struct Input {
    const void* data = nullptr;
    Shape shape;
};

// Memory of one run at a time.
struct Workspace {
    std::vector<Tensor> slots;
    std::vector<std::byte> scratch;
    std::unique_ptr<Arena> arena;
    Profile profile;
};

class Graph {
  public:
    // Load what computes some outputs of a model (all of them, if none are named). `limit` is the memory that a run may
    // take, in bytes. Throws Error, also for an operator that is not known.
    Graph(const onnx::Model& model, const std::vector<std::string>& outputs, std::size_t limit = std::size_t{16} << 30);
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    const std::vector<GraphInput>& inputs() const { return ir_->inputs; }
    const std::vector<std::string>& outputs() const { return ir_->output_names; }
    Type output_type(std::size_t k) const { return ir_->value(code_->outputs[k]).type; }
    // Lengths of an output; -1 where they are not fixed.
    std::vector<std::int64_t> output_lengths(std::size_t k) const;
    std::size_t instructions() const { return instructions_; }

    // Outputs of one run. They stay valid until the workspace is given back.
    class Result {
      public:
        Result(const Graph* graph, std::unique_ptr<Workspace> workspace)
            : graph_(graph), workspace_(std::move(workspace)) {}
        Result(Result&&) = default;
        Result(const Result&) = delete;
        Result& operator=(const Result&) = delete;
        ~Result();
        const Tensor& operator[](std::size_t k) const {
            return workspace_->slots[static_cast<std::size_t>(graph_->code_->outputs[k])];
        }
        const Profile& profile() const { return workspace_->profile; }

      private:
        const Graph* graph_;
        std::unique_ptr<Workspace> workspace_;
    };
    // Run with one input for each of `inputs()`. Throws Error where shapes do not fit, or a run fails.
    Result run(const std::vector<Input>& inputs, bool profile = false) const;

  private:
    friend class Result;
    std::unique_ptr<Workspace> take() const;
    void bind(Run& run, const std::vector<Input>& inputs) const;

    std::unique_ptr<Ir> ir_;
    std::shared_ptr<Code> code_;
    std::vector<Tensor> initial_;  // slots before a run: constants
    std::vector<int> defaults_;    // of each input, the constant that it has when it is left out, or -1
    std::size_t limit_, instructions_ = 0;
    mutable core::Spares<Workspace> spares_;
};

}  // namespace fastcalo::graph
