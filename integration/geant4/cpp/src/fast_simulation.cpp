// SPDX-License-Identifier: BSD-3-Clause
#include "fastcalo/geant4/fast_simulation.hpp"

#include <G4ApplicationState.hh>
#include <G4StateManager.hh>
#include <G4VStateDependent.hh>
#include <G4ios.hh>
#include <utility>

#include "messenger.hpp"

namespace fastcalo::geant4 {

// Prints the statistics when a run ends. It is notified by the main thread, whose run ends when all threads' did.
class FastSimulation::EndOfRun : public G4VStateDependent {
  public:
    explicit EndOfRun(FastSimulation& owner) : owner_(owner) {}

    G4bool Notify(G4ApplicationState next) override {
        const G4ApplicationState now = G4StateManager::GetStateManager()->GetCurrentState();
        if (now == G4State_Idle && next == G4State_GeomClosed) owner_.reset();
        if (now == G4State_GeomClosed && next == G4State_Idle && owner_.settings.print_at_end) {
            const Statistics found = owner_.statistics();
            if (found.events > 0) G4cout << found << std::flush;
        }
        return true;
    }

  private:
    FastSimulation& owner_;
};

FastSimulation::FastSimulation(const Detector& detector, const std::vector<ShowerModel>& models, G4int module)
    : detector_(detector),
      simulation_(detector, models),
      placement_(detector, module),
      messenger_(std::make_unique<Messenger>(*this)),
      end_of_run_(std::make_unique<EndOfRun>(*this)) {}

FastSimulation::~FastSimulation() = default;

G4bool FastSimulation::knows(G4int pdg) const {
    Event event;
    // its species is judged before anything else that it might be refused for, but for the numbers
    event.add(pdg, {0, 1, 0});
    event.mass.push_back(0);
    const int reason = simulation_.reasons(event).front();
    return reason != FASTCALO_UNKNOWN_SPECIES && reason != FASTCALO_INVISIBLE;
}

Statistics FastSimulation::statistics() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return statistics_;
}

void FastSimulation::reset() {
    const std::lock_guard<std::mutex> lock(mutex_);
    statistics_ = {};
}

void FastSimulation::add(const Statistics& of_a_thread) {
    const std::lock_guard<std::mutex> lock(mutex_);
    statistics_ += of_a_thread;
}

}  // namespace fastcalo::geant4
