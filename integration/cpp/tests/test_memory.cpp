// SPDX-License-Identifier: BSD-3-Clause
// Showers at constant memory: test_memory MODEL.onnx SHOWERS; a million of them is for patient people.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "check.hpp"
#include "fastcalo/fastcalo.hpp"

namespace {

constexpr std::size_t BATCH = 256;
constexpr double MOST_GROWTH = 8;  // MB: what the allocator keeps varies with the sizes of the batches

// Memory of the process in MB; 0 where the system does not report it.
double resident() {
    std::ifstream status("/proc/self/status");
    std::string word;
    double kilobytes = 0;
    while (status >> word)
        if (word == "VmRSS:") status >> kilobytes;
    return kilobytes / 1024;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return EXIT_FAILURE;
    fastcalo::ModelOptions options;
    options.backend = FASTCALO_BACKEND_NATIVE;
    const fastcalo::ShowerModel model(argv[1], options);
    const auto batches = static_cast<std::size_t>(std::stoul(argv[2])) / BATCH;
    const fastcalo_model_info info = model.info();
    fastcalo::Showers showers;
    fastcalo::Keys keys;
    double before = 0, deposits = 0;
    for (std::size_t b = 0; b < batches; ++b) {
        fastcalo::Particles particles;
        keys.event.assign(BATCH, fastcalo::event_digest(0, static_cast<std::int64_t>(b)));
        // energies rise evenly in their logarithm, so that every batch needs as much memory as any
        for (std::size_t k = 0; k < BATCH; ++k) {
            const double ratio = info.highest_kinetic_energy / info.lowest_kinetic_energy;
            const double energy =
                info.lowest_kinetic_energy * std::pow(ratio, (static_cast<double>(k) + 0.5) / BATCH);
            particles.add(info.species[k % info.n_species], static_cast<float>(energy), {0, 0, 1}, {0, 0});
        }
        model.generate(particles, keys, showers);
        for (std::size_t s = 0; s < info.n_sections; ++s) deposits += static_cast<double>(showers.section(s).n);
        if (b == batches / 8) before = resident();
        if ((b + 1) % (batches / 8 + 1) == 0) std::printf("%zu showers: %.1f MB\n", (b + 1) * BATCH, resident());
    }
    const double after = resident();
    std::printf("%zu showers, %.0f deposits: %.1f MB, %.1f MB after the first eighth\n", batches * BATCH, deposits, after,
                before);
    CHECK(after - before < MOST_GROWTH);
    return CHECK_RESULT();
}
