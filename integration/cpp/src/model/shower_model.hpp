// SPDX-License-Identifier: BSD-3-Clause
// Trained shower model: an ONNX file with its contract and the backend that runs its graph.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/backend.hpp"
#include "model/contract.hpp"
#include "support/random_numbers.hpp"
#include "support/spares.hpp"

namespace fastcalo::core {

// What runs a graph: `automatic` takes the native engine where it is built in and knows the graph, else ONNX Runtime.
enum class BackendKind { automatic = 0, native = 1, onnxruntime = 2 };

struct ModelOptions {
    BackendKind backend = BackendKind::automatic;
    std::string onnxruntime_library;
    int threads = 0;
};

// Kinematics of n particles, someone else's arrays.
struct Particles {
    std::size_t n = 0;
    const std::int32_t* pdg = nullptr;
    const float* kinetic_energy = nullptr;  // GeV
    const float* direction = nullptr;       // [n, 3], unit vectors in the frame of the module
    const float* entry = nullptr;           // [n, 2], mm
};

// Deposits of many showers in one section, grouped by shower.
struct SectionShowers {
    std::vector<std::int64_t> shower;
    std::vector<std::int32_t> x, y, layer;  // cells counted from the one which the straight line of flight crosses
    std::vector<float> deposit;             // GeV

    void clear() noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return deposit.size(); }
};

using Showers = std::vector<SectionShowers>;  // in the order of the contract's sections

// A tensor of noise that a caller brings: float32 [n, rows, width], or [n, ...] where no length is free (rows 1).
struct NoiseView {
    const float* data = nullptr;
    std::int64_t rows = 0;
};

class ShowerModel {
  public:
    // where: the file's name, for messages.
    ShowerModel(std::string image, const std::string& where, const ModelOptions& options);

    [[nodiscard]] const Contract& contract() const noexcept { return contract_; }
    [[nodiscard]] const Backend& backend() const noexcept { return *backend_; }
    [[nodiscard]] const std::string& file_hash() const noexcept { return file_hash_; }
    [[nodiscard]] const std::string& where() const noexcept { return where_; }

    // Throws Error (out_of_domain) that names the first particle outside the model's validity.
    void check(const Particles& particles) const;

    // Showers of particles that are known to be valid, one stream of random numbers each.
    void sample(const Particles& particles, const Stream* streams, Showers& out) const;

    // The same with the caller's own noise, in one batch. Throws Error (buffer_too_small) where a tensor has too few
    // rows.
    void run(const Particles& particles, const std::vector<NoiseView>& noise, Showers& out) const;

  private:
    // Particles and noise of one call of the backend; its memory is kept for the next one.
    struct Batch {
        std::vector<std::int32_t> pdg;
        std::vector<float> energy, direction, entry;
        std::vector<Stream> random;
        std::vector<std::vector<float>> tensors;
        std::vector<NoiseView> noise;
    };

    void check_graph() const;
    // How many of the next showers, whose energies rise, are drawn together.
    std::size_t batch_size(const Particles& particles, const std::int64_t* order, std::size_t left) const;
    void fill(Batch& batch, const Particles& particles, const Stream* streams, const std::int64_t* order,
              std::size_t n) const;
    void run_batch(const Particles& particles, const std::vector<NoiseView>& noise, const std::int64_t* shower,
                   Showers& out) const;
    void append(const std::string& section, const std::vector<Tensor>& tensors, std::size_t first,
                const Particles& particles, const std::int64_t* shower, SectionShowers& out) const;

    std::string where_, file_hash_;
    Contract contract_;
    std::unique_ptr<Backend> backend_;
    bool has_windows_ = false;
    mutable Spares<Batch> spares_;
};

std::unique_ptr<Backend> open_backend(std::string_view image, const ModelOptions& options);

}  // namespace fastcalo::core
