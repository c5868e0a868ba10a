// SPDX-License-Identifier: BSD-3-Clause
// Eight threads on one model, and on one simulation: each gets what one thread alone gets.
#include <thread>

#include "check.hpp"
#include "models.hpp"

namespace {

constexpr std::size_t THREADS = 8, ROUNDS = 3;

fastcalo::Event event_of(std::size_t k) {
    fastcalo::Event event;
    event.event = static_cast<std::int64_t>(k);
    event.add(22, {0.0, 1.0 + 0.2 * static_cast<double>(k), 0.1});
    event.add(11, {-2.0, 0.3, 0.5});
    event.add(22, {0.0, 0.0, 1.0});  // leaves through the hole
    return event;
}

std::vector<std::uint64_t> cells(const fastcalo::Hits& hits) {
    std::vector<std::uint64_t> out;
    for (std::size_t s = 0; s < 2; ++s) {
        const auto view = hits.view(s);
        out.insert(out.end(), view.cell_id, view.cell_id + view.n);
    }
    return out;
}

}  // namespace

int main(int, char** argv) {
    const std::string backend = argv[1], folder = argv[2];
    if (!models::available(backend, folder)) return models::SKIPPED;
    const fastcalo::Simulation simulation(fastcalo::Detector("clic-like"),
                                          {fastcalo::ShowerModel(folder + "/em.onnx", models::options(backend))});
    std::vector<std::vector<std::uint64_t>> want(THREADS * ROUNDS), got(THREADS * ROUNDS);
    for (std::size_t k = 0; k < want.size(); ++k) want[k] = cells(simulation.run(event_of(k), 1));
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < THREADS; ++t)
        threads.emplace_back([&, t] {
            fastcalo::Hits hits;
            for (std::size_t r = 0; r < ROUNDS; ++r) {
                const std::size_t k = r * THREADS + t;
                simulation.run(event_of(k), 1, hits);
                got[k] = cells(hits);
            }
        });
    for (std::thread& thread : threads) thread.join();
    for (std::size_t k = 0; k < want.size(); ++k) CHECK(!want[k].empty() && got[k] == want[k]);
    return CHECK_RESULT();
}
