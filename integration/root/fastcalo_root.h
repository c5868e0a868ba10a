// SPDX-License-Identifier: BSD-3-Clause
// For ROOT's interpreter: simulation of an event in RDataFrame, RVec in, RVec out. Load libfastcalo_root first.
//
//     gSystem->Load("libfastcalo_root");
//     #include "fastcalo_root.h"
//     int models = fastcalo_root_open("clic-like", "em.onnx:hadron.onnx");   // -1: see fastcalo_root_message()
//     auto hits = ROOT::RDataFrame("events", "events.root")
//         .Define("showers", "fastcalo_root::simulate(0, 1, run, event, pdg, px, py, pz, vx, vy, vz)")
//         .Define("ECAL_energy", "showers[0].energy");
//
// Units: GeV and mm. One call an event; threads of EnableImplicitMT share the models.
#pragma once

#include <ROOT/RVec.hxx>
#include <vector>

extern "C" {
const char* fastcalo_root_message();
int fastcalo_root_open(const char* detector, const char* models);
int fastcalo_root_simulate(int number, unsigned long long seed, long long run, long long event, unsigned long n,
                           const int* pdg, const double* px, const double* py, const double* pz, const double* vx,
                           const double* vy, const double* vz, const int* status);
long fastcalo_root_size(int section);
int fastcalo_root_copy(int section, unsigned long long* cell_id, float* energy, float* x, float* y, float* z,
                       int* layer);
}

namespace fastcalo_root {

// Hits of one section.
struct SectionHits {
    ROOT::RVec<unsigned long long> cell_id;
    ROOT::RVecF energy, x, y, z;  // GeV; centre of the cell, mm
    ROOT::RVecI layer;
};

// Hits of an event in every section of the detector, from the face inwards. Where it fails there are no sections, and
// fastcalo_root_message returns why: code that is interpreted must not throw.
inline std::vector<SectionHits> simulate(int number, unsigned long long seed, long long run, long long event,
                                         const ROOT::RVecI& pdg, const ROOT::RVecD& px, const ROOT::RVecD& py,
                                         const ROOT::RVecD& pz, const ROOT::RVecD& vx, const ROOT::RVecD& vy,
                                         const ROOT::RVecD& vz) {
    std::vector<SectionHits> sections;
    const auto n = pdg.size();
    const bool same = px.size() == n && py.size() == n && pz.size() == n && vx.size() == n && vy.size() == n &&
                      vz.size() == n;
    if (!same || fastcalo_root_simulate(number, seed, run, event, n, pdg.data(), px.data(), py.data(), pz.data(),
                                        vx.data(), vy.data(), vz.data(), nullptr) != 0)
        return sections;
    for (int s = 0;; ++s) {
        const long size = fastcalo_root_size(s);
        if (size < 0) return sections;
        SectionHits hits;
        hits.cell_id.resize(size);
        for (ROOT::RVecF* column : {&hits.energy, &hits.x, &hits.y, &hits.z}) column->resize(size);
        hits.layer.resize(size);
        fastcalo_root_copy(s, hits.cell_id.data(), hits.energy.data(), hits.x.data(), hits.y.data(), hits.z.data(),
                           hits.layer.data());
        sections.push_back(hits);
    }
}

}  // namespace fastcalo_root
