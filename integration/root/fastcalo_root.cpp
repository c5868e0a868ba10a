// SPDX-License-Identifier: BSD-3-Clause
// Plain C functions over the library: ROOT's interpreter can call them, but not link code that throws.
#include <deque>
#include <exception>
#include <fastcalo/fastcalo.hpp>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

namespace {

// Simulations live as long as the program: entries of a data frame refer to them by number.
std::mutex mutex;
std::deque<fastcalo::Simulation>& simulations() {
    static std::deque<fastcalo::Simulation> all;
    return all;
}

// Of the present thread: what its last call gave.
struct Last {
    fastcalo::Hits hits;
    fastcalo::Event event;
    std::string message;
};
Last& last() {
    thread_local Last of_thread;
    return of_thread;
}

const fastcalo::Simulation& simulation(int number) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (number < 0 || static_cast<std::size_t>(number) >= simulations().size())
        throw fastcalo::Error(FASTCALO_INVALID_ARGUMENT, "there is no simulation of this number: open one first");
    return simulations()[static_cast<std::size_t>(number)];
}

// The result, or -1 with a message.
template <class Function>
long guarded(Function function) noexcept {
    try {
        return function();
    } catch (const std::exception& error) {
        last().message = error.what();
    } catch (...) {
        last().message = "an error of unknown kind";
    }
    return -1;
}

}  // namespace

extern "C" {

const char* fastcalo_root_message() { return last().message.c_str(); }

int fastcalo_root_open(const char* detector, const char* models) {
    return static_cast<int>(guarded([&] {
        std::vector<fastcalo::ShowerModel> several;
        std::istringstream paths(models);
        for (std::string path; std::getline(paths, path, ':');) several.emplace_back(path);
        const fastcalo::Simulation opened(fastcalo::Detector(detector), several);
        const std::lock_guard<std::mutex> lock(mutex);
        simulations().push_back(opened);
        return static_cast<long>(simulations().size()) - 1;
    }));
}

int fastcalo_root_simulate(int number, unsigned long long seed, long long run, long long event, unsigned long n,
                           const int* pdg, const double* px, const double* py, const double* pz, const double* vx,
                           const double* vy, const double* vz, const int* status) {
    return static_cast<int>(guarded([&] {
        fastcalo::Event& e = last().event;
        e = {};
        e.run = run;
        e.event = event;
        for (unsigned long i = 0; i < n; ++i)
            e.add(pdg[i], {px[i], py[i], pz[i]}, {vx[i], vy[i], vz[i]}, status == nullptr ? 1 : status[i]);
        simulation(number).run(e, seed, last().hits);
        return 0L;
    }));
}

long fastcalo_root_size(int section) {
    return guarded([&] { return static_cast<long>(last().hits.view(static_cast<std::size_t>(section)).n); });
}

int fastcalo_root_copy(int section, unsigned long long* cell_id, float* energy, float* x, float* y, float* z,
                       int* layer) {
    return static_cast<int>(guarded([&] {
        const fastcalo_section_hits hits = last().hits.view(static_cast<std::size_t>(section));
        for (std::size_t h = 0; h < hits.n; ++h) {
            cell_id[h] = hits.cell_id[h];
            energy[h] = hits.energy[h];
            x[h] = hits.position[3 * h];
            y[h] = hits.position[3 * h + 1];
            z[h] = hits.position[3 * h + 2];
            layer[h] = hits.layer[h];
        }
        return 0L;
    }));
}
}
