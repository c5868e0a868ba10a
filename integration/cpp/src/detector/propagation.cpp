// SPDX-License-Identifier: BSD-3-Clause
#include "detector/propagation.hpp"

#include <cmath>
#include <limits>

#include "support/constants.hpp"

namespace fastcalo::core {
namespace {

constexpr double TURN = 0.299792458e-3;  // rad/mm for one elementary charge, one tesla and one GeV
constexpr double ON_FACE_MM = 1e-6;      // a vertex that was put on a face may lie behind it by rounding
constexpr double SMALLEST_GEV = 1e-100;  // less than this is no momentum
constexpr double LONGEST_MM = 1e9;       // a particle that curls for longer has not arrived within any event
constexpr double INFINITE = std::numeric_limits<double>::infinity();

struct Track {
    Vector vertex, direction;
    double turn = 0;
};

// sin(a) / a, with the roundings of numpy.sinc(a / pi)
double sinc(double over_pi) noexcept {
    const double a = PI * (over_pi == 0 ? 1e-20 : over_pi);
    return std::sin(a) / a;
}

void at(const Track& track, double length, Vector& position, Vector& direction) noexcept {
    const double angle = track.turn * length;
    const double s = std::sin(angle), c = std::cos(angle);
    const double ahead = length * sinc(angle / PI);
    const double aside = length * std::sin(angle / 2) * sinc(angle / (2 * PI));
    const auto [dx, dy, dz] = track.direction;
    position = {track.vertex[0] + (dx * ahead - dy * aside), track.vertex[1] + (dy * ahead + dx * aside),
                track.vertex[2] + dz * length};
    direction = {dx * c - dy * s, dy * c + dx * s, dz};
}

// Distance of a point from the plane of a stave's face, positive inside.
double gap_of(const Detector& d, std::size_t stave, const Vector& x) noexcept {
    const Vector& normal = d.axes[stave][2];
    const double gap = d.barrel_radius_mm - (normal[0] * x[0] + normal[1] * x[1]);
    return std::fabs(gap) < ON_FACE_MM ? 0.0 : gap;
}

// Stave whose face's plane a track crosses first, and the length of track up to there, infinite for never.
//
// With v = w / tan(w l / 2) the equation n x(l) = R becomes gap v^2 - 2 (n d) v - w (2 n d' - w gap) = 0. The greater
// v is, the shorter is l; so the greatest root of all planes is where a track that begins inside leaves.
std::size_t first_stave(const Detector& d, const Track& track, double& length) noexcept {
    const auto [dx, dy, dz] = track.direction;
    std::size_t stave = 0;
    double best = -INFINITE;
    for (std::size_t k = 0; k < static_cast<std::size_t>(d.staves); ++k) {
        const Vector& normal = d.axes[k][2];
        const double gap = gap_of(d, k, track.vertex);
        const double ahead = normal[0] * dx + normal[1] * dy;
        const double bend = track.turn * (2 * (normal[0] * -dy + normal[1] * dx) - track.turn * gap);
        const double root = std::sqrt(ahead * ahead + bend * gap);
        double v = ahead >= 0 ? (ahead + root) / gap : bend / (root - ahead);
        // no root: the plane is never reached; 0 / 0: the track begins on it and along it, and may bend outwards at
        // once
        if (std::isnan(v)) v = bend > 0 ? INFINITE : -INFINITE;
        if (v > best) {
            best = v;
            stave = k;
        }
    }
    const double turn = std::fabs(track.turn);
    if (turn > 0)
        length = 2 * std::atan2(turn, best) / turn;
    else
        length = best > 0 ? 2 / best : INFINITE;
    if (best == -INFINITE) length = INFINITE;
    return stave;
}

// Module that a track meets first (-1 for none), and the length of track up to there.
std::int64_t first_face(const Detector& d, const Track& track, double& length) noexcept {
    double to_side = INFINITE;
    const std::size_t stave = first_stave(d, track, to_side);
    const double z = track.vertex[2], dz = track.direction[2];
    const double to_end = dz == 0 ? INFINITE : (std::copysign(d.endcap_front_mm, dz) - z) / dz;
    const double z_side = z + dz * to_side;
    if (to_side <= to_end && std::isfinite(to_side) && std::fabs(z_side) <= d.half_length_mm) {
        length = to_side;
        return static_cast<std::int64_t>(stave);
    }
    length = to_end;
    // there may be a slit between barrel and endcap: a track that leaves through it may yet meet the endcap
    if (!(to_end <= LONGEST_MM) || !(to_side > to_end || z_side * dz > 0)) return -1;
    Vector position, direction;
    at(track, to_end, position, direction);
    const double radius = std::hypot(position[0], position[1]);
    if (!(radius >= d.endcap_inner_mm && radius <= d.endcap_outer_mm)) return -1;
    return dz > 0 ? d.staves : d.staves + 1;
}

}  // namespace

Arrival propagate(const Detector& d, double charge, const Vector& momentum, const Vector& vertex) {
    Arrival out;
    const double size = std::hypot(std::hypot(momentum[0], momentum[1]), momentum[2]);
    const bool sound = std::isfinite(size) && size >= SMALLEST_GEV && std::isfinite(vertex[0]) &&
                       std::isfinite(vertex[1]) && std::isfinite(vertex[2]);
    if (!sound) {
        out.reason = Reason::bad_numbers;
        return out;
    }
    const Track track{
        vertex, {momentum[0] / size, momentum[1] / size, momentum[2] / size}, -TURN * d.field_tesla * charge / size};
    bool inside = std::fabs(vertex[2]) <= d.endcap_front_mm + ON_FACE_MM;
    for (std::size_t k = 0; k < static_cast<std::size_t>(d.staves); ++k) inside = inside && gap_of(d, k, vertex) >= 0;
    if (!inside) {
        out.reason = Reason::born_outside;
        return out;
    }
    double length = 0;
    const std::int64_t module = first_face(d, track, length);
    if (module < 0) return out;
    Vector direction;
    at(track, length, out.position, direction);
    const auto m = static_cast<std::size_t>(module);
    const Vector local = d.to_local(m, out.position);
    out.direction = d.rotate_to_local(m, direction);
    if (!(out.direction[2] > 0)) return out;
    out.reason = Reason::simulated;
    out.module = module;
    const double cell_mm = d.sections.front().cell_mm;
    for (std::size_t k = 0; k < 2; ++k) {
        const double cell = std::floor(local[k] / cell_mm + 0.5);
        out.cell[k] = static_cast<std::int64_t>(cell);
        out.entry[k] = local[k] - cell * cell_mm;
    }
    return out;
}

}  // namespace fastcalo::core
