// SPDX-License-Identifier: BSD-3-Clause
// From a file of HepMC3 to hits, as lines of JSON:
//   hepmc_to_hits EVENTS.hepmc HITS.jsonl SEED MODEL.onnx...
#include <HepMC3/GenEvent.h>
#include <HepMC3/GenParticle.h>
#include <HepMC3/GenVertex.h>
#include <HepMC3/ReaderFactory.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fastcalo/fastcalo.hpp>
#include <fastcalo/hits_file.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// All particles of the record: their places in it are what random numbers are keyed by, and the library takes those of
// status 1 only.
fastcalo::Event converted(HepMC3::GenEvent& record) {
    record.set_units(HepMC3::Units::GEV, HepMC3::Units::MM);
    fastcalo::Event event;
    event.event = record.event_number();
    for (const auto& particle : record.particles()) {
        const HepMC3::FourVector& p = particle->momentum();
        std::array<double, 3> at{};
        if (const auto vertex = particle->production_vertex()) {
            const HepMC3::FourVector& x = vertex->position();
            at = {x.x(), x.y(), x.z()};
        }
        event.add(particle->pid(), {p.px(), p.py(), p.pz()}, at, particle->status());
    }
    return event;
}

void run(const std::string& input, const std::string& output, std::uint64_t seed,
         const std::vector<std::string>& paths) {
    std::vector<fastcalo::ShowerModel> models;
    for (const std::string& path : paths) models.emplace_back(path);
    const fastcalo::Detector detector("clic-like");
    const fastcalo::Simulation simulation(detector, models);
    const auto reader = HepMC3::deduce_reader(input);
    if (!reader) throw std::runtime_error(input + ": is no file that HepMC3 reads");
    fastcalo::HitsFile file(output, detector);
    fastcalo::Hits hits;
    long events = 0;
    while (!reader->failed()) {
        HepMC3::GenEvent record;
        // the end of the file is seen by reading beyond it
        if (!reader->read_event(record) || reader->failed()) break;
        const fastcalo::Event event = converted(record);
        simulation.run(event, seed, hits);
        file.write(event, hits);
        ++events;
    }
    reader->close();
    file.close();
    std::printf("%ld events\n", events);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: %s EVENTS.hepmc HITS.jsonl SEED MODEL.onnx...\n", argv[0]);
        return EXIT_FAILURE;
    }
    try {
        run(argv[1], argv[2], std::stoull(argv[3]), {argv + 4, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
