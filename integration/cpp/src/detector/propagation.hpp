// SPDX-License-Identifier: BSD-3-Clause
// Propagation of a particle from its vertex to the calorimeter's front face, along a straight line or helix.
//
// The field is uniform along z inside the volume that the faces enclose, so a track is
//
//     x(l) = x0 + d l sinc(w l) + d' l sin(w l / 2) sinc(w l / 2),     z(l) = z0 + dz l
//
// with the length l along it, the unit direction (d, dz) at the vertex, d' = d turned by +90 degrees about z,
// sinc(a) = sin(a) / a, and the turn per length w = -0.299792458 q B / p (rad/m for e, T and GeV: Particle Data Group,
// "Particle detectors for accelerators", momentum in a solenoid field).
#pragma once

#include <cstdint>

#include "detector/detector.hpp"
#include "simulation/reasons.hpp"

namespace fastcalo::core {

// Where a particle meets the face of the calorimeter; of use where the reason is `simulated`.
struct Arrival {
    Reason reason = Reason::misses_calorimeter;
    std::int64_t module = -1;
    std::int64_t cell[2] = {0, 0};   // of the first section's grid
    double entry[2] = {0, 0};        // the point met, from the centre of that cell, mm
    Vector direction{}, position{};  // unit vector in the frame of the module; global point, mm
};

// charge in units of the positron's, momentum in GeV, vertex in mm.
Arrival propagate(const Detector& detector, double charge, const Vector& momentum, const Vector& vertex);

}  // namespace fastcalo::core
