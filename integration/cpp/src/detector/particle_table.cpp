// SPDX-License-Identifier: BSD-3-Clause
#include "detector/particle_table.hpp"

namespace fastcalo::core {
namespace {

struct Row {
    std::int32_t pdg;
    double mass, charge;
};

// S. Navas et al. (Particle Data Group), Phys. Rev. D 110 (2024) 030001, 2025 update; the same as in Python, which a
// test checks
constexpr Row TABLE[] = {
    {11, 0.00051099895069, -1},
    {12, 0.0, 0},
    {13, 0.1056583755, -1},
    {14, 0.0, 0},
    {15, 1.7769300000000001, -1},
    {16, 0.0, 0},
    {22, 0.0, 0},
    {111, 0.1349768, 0},
    {130, 0.497611, 0},
    {211, 0.13957039, 1},
    {221, 0.547862, 0},
    {310, 0.497611, 0},
    {311, 0.49761099999999997, 0},
    {321, 0.493677, 1},
    {2112, 0.9395654219, 0},
    {2212, 0.93827208943, 1},
    {3112, 1.197449, -1},
    {3122, 1.115683, 0},
    {3212, 1.192642, 0},
    {3222, 1.1893699999999998, 1},
    {3312, 1.32171, -1},
    {3322, 1.31486, 0},
    {3334, 1.67245, -1},
    {1000010020, 1.87561293134931, 1},
    {1000010030, 2.80892112314931, 1},
    {1000020030, 2.80839153219862, 2},
    {1000020040, 3.72737933279862, 2},
};

}  // namespace

std::optional<ParticleProperties> properties_of(std::int32_t pdg) noexcept {
    if (pdg == INT32_MIN) return std::nullopt;
    const std::int32_t code = pdg < 0 ? -pdg : pdg;
    for (const Row& row : TABLE) {
        if (row.pdg != code) continue;
        // these are their own antiparticles
        const bool same = code == 22 || code == 111 || code == 130 || code == 221 || code == 310;
        if (pdg < 0 && same) return std::nullopt;
        return ParticleProperties{row.mass, pdg < 0 ? -row.charge : row.charge};
    }
    return std::nullopt;
}

}  // namespace fastcalo::core
