// SPDX-License-Identifier: BSD-3-Clause
#include "fastcalo/geant4/statistics.hpp"

#include <G4SystemOfUnits.hh>
#include <fastcalo/fastcalo.hpp>
#include <iomanip>
#include <ostream>

namespace fastcalo::geant4 {

Statistics& Statistics::operator+=(const Statistics& other) {
    events += other.events;
    for (std::size_t r = 0; r < REASONS; ++r) {
        entries[r].particles += other.entries[r].particles;
        entries[r].energy += other.entries[r].energy;
    }
    hits += other.hits;
    lost_hits += other.lost_hits;
    hit_energy += other.hit_energy;
    lost_energy += other.lost_energy;
    deciding += other.deciding;
    simulating += other.simulating;
    placing += other.placing;
    return *this;
}

Statistics::Count Statistics::entered() const {
    Count sum;
    for (const Count& count : entries) {
        sum.particles += count.particles;
        sum.energy += count.energy;
    }
    return sum;
}

std::ostream& operator<<(std::ostream& out, const Statistics& s) {
    out << "fastcalo: " << s.events << " events, " << s.entered().particles << " particles entered\n";
    for (std::size_t r = 0; r < REASONS; ++r) {
        if (s.entries[r].particles == 0) continue;
        out << std::setw(8) << s.entries[r].particles << " with " << std::setw(10) << s.entries[r].energy / GeV
            << " GeV: " << (r == CUT ? "kept from the models by a cut" : reason_text(static_cast<int>(r))) << '\n';
    }
    out << std::setw(8) << s.hits << " hits with " << s.hit_energy / GeV << " GeV";
    if (s.lost_hits > 0)
        out << "; " << s.lost_hits << " with " << s.lost_energy / GeV << " GeV were where no sensitive detector is";
    out << "\n  " << s.deciding << " s deciding, " << s.simulating << " s in batches of the models, " << s.placing
        << " s placing hits\n";
    return out;
}

}  // namespace fastcalo::geant4
