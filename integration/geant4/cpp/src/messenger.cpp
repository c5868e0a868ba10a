// SPDX-License-Identifier: BSD-3-Clause
#include "messenger.hpp"

#include <G4ParticleDefinition.hh>
#include <G4ParticleTable.hh>
#include <G4SystemOfUnits.hh>
#include <G4ios.hh>
#include <charconv>

namespace fastcalo::geant4 {
namespace {

void warn(const char* where, const G4String& text) {
    G4Exception(where, "fastcalo002", JustWarning, text.c_str());
}

const G4ParticleDefinition* find(const G4String& name) {
    const G4ParticleDefinition* const found = G4ParticleTable::GetParticleTable()->FindParticle(name);
    if (found == nullptr) warn("/fastcalo", "there is no particle '" + name + "'; nothing was changed");
    return found;
}

}  // namespace

FastSimulation::Messenger::Messenger(FastSimulation& owner)
    : owner_(owner), commands_(this, "/fastcalo/", "Fast simulation of showers by trained models") {
    finish(commands_.DeclareMethod("enable", &Messenger::enable, "Whether particles are stopped and simulated."));
    finish(commands_.DeclareMethod("seed", &Messenger::seed, "Seed of the models' random numbers."));
    finish(commands_.DeclareMethodWithUnit("minEnergy", "GeV", &Messenger::lowest,
                                           "Least kinetic energy; softer particles are tracked on."));
    finish(commands_.DeclareMethodWithUnit("maxEnergy", "GeV", &Messenger::highest,
                                           "Highest kinetic energy; harder particles are tracked on."));
    finish(commands_.DeclareMethod("exclude", &Messenger::exclude, "Track on particles of this name."));
    finish(commands_.DeclareMethod("include", &Messenger::include, "Take back 'exclude' for particles of this name."));
    finish(commands_.DeclareMethod("printAtEnd", &Messenger::print_at_end,
                                   "Whether statistics are printed at the end of every run."));
    finish(commands_.DeclareMethod("print", &Messenger::print, "Print the statistics of the last run."));
}

void FastSimulation::Messenger::finish(G4GenericMessenger::Command& command) {
    command.SetStates(G4State_PreInit, G4State_Idle).SetToBeBroadcasted(false);
}

void FastSimulation::Messenger::seed(const G4String& value) {
    std::uint64_t number = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc() || stop != end)
        warn("/fastcalo/seed", "'" + value + "' is no whole number of 64 bits; the seed was not changed");
    else
        owner_.settings.seed = number;
}

void FastSimulation::Messenger::exclude(const G4String& name) {
    if (const auto* const particle = find(name)) owner_.settings.cuts.excluded.insert(particle->GetPDGEncoding());
}

void FastSimulation::Messenger::include(const G4String& name) {
    if (const auto* const particle = find(name)) owner_.settings.cuts.excluded.erase(particle->GetPDGEncoding());
}

void FastSimulation::Messenger::print() { G4cout << owner_.statistics() << std::flush; }

}  // namespace fastcalo::geant4
