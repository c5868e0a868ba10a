// SPDX-License-Identifier: BSD-3-Clause
// Contract of a model: the JSON in the metadata of its file, checked clause by clause before the model is run.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/json.hpp"

namespace fastcalo::core {

enum class Distribution { uniform, normal, logistic };

// One tensor of random numbers that the graph takes.
struct NoiseSpec {
    std::string name;
    std::vector<std::int64_t> shape;  // without the batch; -1 stands for the number of rows that grows with energy
    Distribution distribution = Distribution::uniform;
    std::optional<std::array<double, 3>> capacity;  // a, b, c: at most a + b E^c rows for E in GeV

    // Numbers in a row, or in the whole tensor of a shower where no length is free.
    [[nodiscard]] std::size_t width() const noexcept;
    // Rows that a shower of this kinetic energy may read; 1 where no length is free.
    [[nodiscard]] std::int64_t rows(float kinetic_energy) const noexcept;
};

struct Window {
    std::int64_t x = 0, y = 0, layers = 0;
};

struct Contract {
    std::string name, arch;
    std::vector<std::int32_t> species;
    std::array<double, 2> kinetic_energy{};  // GeV
    double max_angle = 0;                    // rad
    std::vector<std::string> sections;
    Json stack;
    std::string stack_hash;
    std::vector<NoiseSpec> noise;
    std::map<std::string, double> thresholds;  // GeV
    bool sparse = false;
    std::string data_hash, code_version;
    std::map<std::string, double> scores;
    int format = 0;
    std::string text;  // as it stands in the file

    [[nodiscard]] bool whole() const noexcept { return format == 3; }
    // Only of a section that the contract names.
    [[nodiscard]] Window window(std::string_view section) const;
    [[nodiscard]] const Json& section_stack(std::string_view section) const;
    [[nodiscard]] bool knows(std::int64_t pdg) const noexcept;
    // Ranges are widened a little against rounding: relatively for energies, absolutely for cosines.
    [[nodiscard]] bool energy_ok(double kinetic_energy_gev, double slack = 1e-6) const noexcept;
    [[nodiscard]] bool angle_ok(double cosine, double slack = 1e-6) const noexcept;
};

// Throws Error (contract): the contract is missing, of another format, or a clause makes no sense; the message names
// the clause.
Contract read_contract(const std::string* text, const std::string& where);

}  // namespace fastcalo::core
