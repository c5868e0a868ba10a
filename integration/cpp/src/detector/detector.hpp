// SPDX-License-Identifier: BSD-3-Clause
// Calorimeter: sections, modules, magnetic field, cell IDs; read from the JSON of its description.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/json.hpp"

namespace fastcalo::core {

using Vector = std::array<double, 3>;

// One field of a cell ID: where its bits stand, and whether they carry a sign.
struct BitField {
    std::string name;
    int offset = 0, width = 0;
    bool is_signed = false;

    [[nodiscard]] std::int64_t lowest() const noexcept { return is_signed ? -(std::int64_t{1} << (width - 1)) : 0; }
    [[nodiscard]] std::int64_t highest() const noexcept {
        return static_cast<std::int64_t>((std::uint64_t{1} << (width - (is_signed ? 1 : 0))) - 1);
    }
    [[nodiscard]] std::uint64_t mask() const noexcept { return (std::uint64_t{1} << width) - 1; }
    [[nodiscard]] std::uint64_t pack(std::int64_t value) const;  // throws Error where it does not fit
    [[nodiscard]] std::int64_t unpack(std::uint64_t cell_id) const noexcept;
};

// A cell: module, layer, and its numbers along x and y; cell (0, 0) is centred on the origin of the module's frame.
struct Cell {
    std::int64_t module = 0, layer = 0, x = 0, y = 0;
};

struct Section {
    std::string name;
    double front_mm = 0, sensor_mm = 0, gap_mm = 0, cell_mm = 0, threshold = 0;
    std::vector<double> absorber_mm;
    std::vector<double> sensor_z;  // depth of the middle of every sensor behind the face, mm
    std::int64_t system = 0;
    std::array<BitField, 5> fields;  // system, module, layer, x, y
    Json stack;                      // what a shower depends on

    [[nodiscard]] std::int64_t layers() const noexcept { return static_cast<std::int64_t>(absorber_mm.size()); }
    [[nodiscard]] std::uint64_t encode(const Cell& cell) const;
    [[nodiscard]] Cell decode(std::uint64_t cell_id) const;  // throws Error for a cell ID of another section
};

// What is simulated in place of a particle that no model knows.
struct Substitute {
    std::int32_t species = 0, pdg = 0;
    double add_gev = 0;
};

class Detector {
  public:
    // From the JSON text of its description, with the keys of the TOML file. Throws Error (detector).
    static Detector from_json(std::string_view text, const std::string& where);

    std::string name;
    double field_tesla = 0;
    std::int64_t staves = 0;
    double barrel_radius_mm = 0, half_length_mm = 0;
    double endcap_front_mm = 0, endcap_inner_mm = 0, endcap_outer_mm = 0;
    std::vector<Section> sections;  // from the face inwards
    std::vector<Substitute> substitutes;
    std::string stack_hash;
    std::vector<Vector> origin;               // of the frames of modules: staves, endcap at +z, endcap at -z
    std::vector<std::array<Vector, 3>> axes;  // axes[m][j]: global direction of axis j of module m

    [[nodiscard]] const Section& section(std::string_view name) const;  // throws Error (not_found)
    [[nodiscard]] std::size_t section_index(std::string_view name) const;
    [[nodiscard]] Vector cell_centre(const Section& section, const Cell& cell) const;
    [[nodiscard]] Vector to_global(std::size_t module, const Vector& local) const noexcept;
    [[nodiscard]] Vector to_local(std::size_t module, const Vector& global) const noexcept;
    [[nodiscard]] Vector rotate_to_local(std::size_t module, const Vector& direction) const noexcept;

  private:
    void make_frames();
};

}  // namespace fastcalo::core
