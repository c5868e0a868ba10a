// SPDX-License-Identifier: BSD-3-Clause
// Commands /fastcalo/... that change the settings between runs.
#pragma once

#include <G4GenericMessenger.hh>

#include "fastcalo/geant4/fast_simulation.hpp"

namespace fastcalo::geant4 {

class FastSimulation::Messenger {
  public:
    explicit Messenger(FastSimulation& owner);

  private:
    void enable(G4bool value) { owner_.settings.enabled = value; }
    void seed(const G4String& value);
    void lowest(G4double value) { owner_.settings.cuts.lowest_kinetic_energy = value; }
    void highest(G4double value) { owner_.settings.cuts.highest_kinetic_energy = value; }
    void exclude(const G4String& name);
    void include(const G4String& name);
    void print_at_end(G4bool value) { owner_.settings.print_at_end = value; }
    void print();

    // Commands of the main thread only: settings are shared, and must not change while events go on.
    static void finish(G4GenericMessenger::Command& command);

    FastSimulation& owner_;
    G4GenericMessenger commands_;
};

}  // namespace fastcalo::geant4
