// SPDX-License-Identifier: BSD-3-Clause
// Simulates one event: a photon, an electron, a neutrino, and a photon that leaves through the hole of the endcap.
//   ./simulate em.onnx [hadron.onnx ...]
#include <fastcalo/fastcalo.hpp>

#include <cstdio>
#include <exception>
#include <vector>

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s MODEL.onnx...\n", argv[0]);
        return 2;
    }
    try {
        std::vector<fastcalo::ShowerModel> models;
        for (int k = 1; k < argc; ++k) {
            models.emplace_back(argv[k]);
            const fastcalo::Contract contract = models.back().contract();
            std::printf("%s: %zu species, %g to %g GeV, run by %s\n", contract.name.c_str(), contract.species.size(),
                        contract.lowest_kinetic_energy, contract.highest_kinetic_energy, models.back().backend().c_str());
        }
        const fastcalo::Detector detector("clic-like");
        const fastcalo::Simulation simulation(detector, models);

        fastcalo::Event event;
        event.run = 1;
        event.event = 42;
        event.add(22, {0.0, 20.0, 1.0});
        event.add(11, {-5.0, 1.0, 0.5}, {0.1, 0.0, -2.0});
        event.add(12, {1.0, 1.0, 1.0});
        event.add(22, {0.0, 0.0, 10.0});

        const fastcalo::Hits hits = simulation.run(event, /*seed=*/1);
        const std::vector<std::int8_t> reasons = hits.reasons();
        for (std::size_t i = 0; i < reasons.size(); ++i)
            std::printf("particle %zu (%d): %s\n", i, event.pdg[i], fastcalo::reason_text(reasons[i]));
        for (std::size_t s = 0; s < detector.info().n_sections; ++s) {
            double energy = 0;
            const std::vector<fastcalo::Hit> section = hits.section(s);
            for (const fastcalo::Hit& hit : section) energy += static_cast<double>(hit.energy);
            std::printf("%s: %zu hits, %.6f GeV\n", detector.section(s).name, section.size(), energy);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
