// SPDX-License-Identifier: BSD-3-Clause
// Detectors: cell IDs, frames and propagation of the shipped one, and descriptions that are refused.
#include <cmath>
#include <string>

#include "check.hpp"
#include "detector/detector.hpp"
#include "detector/propagation.hpp"
#include "detector/shipped_detectors.hpp"
#include "fastcalo/fastcalo.hpp"

using namespace fastcalo::core;

namespace {

Detector clic() { return Detector::from_json(shipped_detector("clic-like"), "clic-like"); }

void test_cells() {
    const Detector d = clic();
    const Section& ecal = d.section("ECAL");
    CHECK(d.stack_hash == "0fce82d8dd341cc06c0f88fd7adfa31c8f517fd340f8c56f3619eea95dad5409");
    CHECK(ecal.layers() == 25 && d.section("HCAL").layers() == 60 && d.origin.size() == 14);
    for (const Cell cell : {Cell{0, 0, 0, 0}, Cell{13, 24, -607, 607}, Cell{5, 7, 300, -1}}) {
        const Cell back = ecal.decode(ecal.encode(cell));
        CHECK(back.module == cell.module && back.layer == cell.layer && back.x == cell.x && back.y == cell.y);
    }
    // half-way through the sensor of the first layer: 2.4 mm of tungsten, and half of 0.5 mm of silicon
    const Vector centre = d.cell_centre(ecal, {0, 0, 1, 2});
    CHECK(std::fabs(centre[0] - 1502.65) < 1e-9 && std::fabs(centre[1] - 5.1) < 1e-9 &&
          std::fabs(centre[2] - 10.2) < 1e-9);
    // the frame that the interface gives
    const fastcalo::ModuleFrame frame = fastcalo::Detector("clic-like").frame(5);
    for (std::size_t k = 0; k < 3; ++k)
        CHECK(frame.origin[k] == d.origin[5][k] && frame.axes[2][k] == d.axes[5][2][k] &&
              std::fabs(frame.axes[2][k] * 1500 - frame.origin[k]) < 1e-9);
    CHECK_THROWS(ecal.encode({0, 0, 40'000, 0}), "holds -32768 to 32767");
    CHECK_THROWS(ecal.decode(d.section("HCAL").encode({0, 0, 0, 0})), "is not one of ECAL");
    CHECK_THROWS(d.cell_centre(ecal, {14, 0, 0, 0}), "modules are numbered 0 to 13");
    CHECK_THROWS(d.cell_centre(ecal, {0, 25, 0, 0}), "layers of ECAL are numbered 0 to 24");
    CHECK_THROWS(d.section("TRACKER"), "has no section");
}

void test_propagation() {
    const Detector d = clic();
    const Arrival straight = propagate(d, 0, {10, 0, 0}, {0, 0, 0});
    CHECK(straight.reason == Reason::simulated && straight.module == 0);
    CHECK(std::fabs(straight.position[0] - 1500) < 1e-9 && std::fabs(straight.direction[2] - 1) < 1e-12);
    CHECK(propagate(d, 0, {0, 0, 10}, {0, 0, 0}).reason == Reason::misses_calorimeter);
    CHECK(propagate(d, 0, {0, 1, 5}, {0, 0, 0}).module == 12);
    CHECK(propagate(d, 0, {0, 1, -5}, {0, 0, 0}).module == 13);
    CHECK(propagate(d, 1, {0.5, 0, 0}, {0, 0, 0}).reason == Reason::misses_calorimeter);  // curls
    CHECK(propagate(d, 0, {1, 0, 0}, {1600, 0, 0}).reason == Reason::born_outside);
    CHECK(propagate(d, 0, {NAN, 0, 0}, {0, 0, 0}).reason == Reason::bad_numbers);
    CHECK(propagate(d, 0, {1, 0, 0}, {INFINITY, 0, 0}).reason == Reason::bad_numbers);
    CHECK(propagate(d, 0, {0, 0, 0}, {0, 0, 0}).reason == Reason::bad_numbers);
    // mirrored charges bend to the two sides alike
    const Arrival plus = propagate(d, 1, {3, 0, 0.1}, {0, 0, 0}), minus = propagate(d, -1, {3, 0, 0.1}, {0, 0, 0});
    CHECK(std::fabs(plus.position[1] + minus.position[1]) < 1e-9 && plus.position[1] < 0);
}

void test_refusals() {
    const std::string good = shipped_detector("clic-like");
    const auto refused = [&good](const char* from, const char* to, const char* key) {
        std::string wrong = good;
        const std::size_t at = wrong.find(from);
        CHECK_MORE(at != std::string::npos, from);
        wrong.replace(at, std::string(from).size(), to);
        CHECK_THROWS(Detector::from_json(wrong, "here"), std::string("here.") + key);
    };
    refused("\"staves\": 12", "\"staves\": 2", "barrel.staves");
    refused("\"staves\": 12", "\"stave\": 12", "barrel.staves");
    refused("\"half_length_mm\": 2000.0", "\"half_length_mm\": 2001.0", "endcap.front_mm");
    refused("\"cell_mm\": 5.1", "\"cell_mm\": 0", "section.ECAL.cell_mm");
    refused("\"cell_mm\": 5.1", "\"cell_mm\": 0.01", "section.ECAL.encoding");
    refused("\"window\": [25, 25]", "\"window\": [24, 25]", "section.ECAL.window");
    refused("system:5,module:5", "system:5,system:5", "section.ECAL.encoding");
    refused("y:-16", "y:16", "section.ECAL.encoding");
    refused("y:-16", "y:-17", "section.ECAL.encoding");
    refused("\"front_mm\": 140.0", "\"front_mm\": 14.0", "section.HCAL.front_mm");
    refused("\"321\": {", "\"kaon\": {", "substitutes.kaon");
    refused("\"count\": 17", "\"count\": 0", "section.ECAL.layers[0].count");
    CHECK_THROWS(Detector::from_json("[]", "here"), "here: the description must be a table");
    CHECK_THROWS(Detector::from_json("{", "here"), "here: the description is not readable");
}

}  // namespace

int main() {
    test_cells();
    test_propagation();
    test_refusals();
    return CHECK_RESULT();
}
