// SPDX-License-Identifier: BSD-3-Clause
// A Geant4 program with and without fast simulation: particles at the face of one module, hits and times of every event.
#include <G4PhysListFactory.hh>
#include <G4RunManagerFactory.hh>
#include <G4SystemOfUnits.hh>
#include <G4UImanager.hh>
#include <G4VModularPhysicsList.hh>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fastcalo/geant4/fast_simulation.hpp>
#include <fastcalo/geant4/physics.hpp>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "actions.hpp"
#include "geometry.hpp"
#include "options.hpp"

namespace {

std::shared_ptr<fastcalo::geant4::FastSimulation> fast_simulation(const Options& options,
                                                                  const fastcalo::Detector& detector) {
    std::vector<fastcalo::ShowerModel> models;
    for (const std::string& path : options.models) models.emplace_back(path);
    return std::make_shared<fastcalo::geant4::FastSimulation>(detector, models, options.module);
}

void run(const Options& options) {
    const fastcalo::Detector detector(options.detector);
    const auto shots = std::make_shared<const std::vector<std::vector<Shot>>>(read_shots(options.events));
    const auto output = std::make_shared<Output>(detector);
    const int left = static_cast<int>(shots->size()) - options.first;
    const int count = options.count < 0 ? left : std::min(options.count, left);

    const std::unique_ptr<G4RunManager> manager(G4RunManagerFactory::CreateRunManager(
        options.threads > 0 ? G4RunManagerType::MTOnly : G4RunManagerType::SerialOnly));
    if (options.threads > 0) manager->SetNumberOfThreads(options.threads);
    const auto shared = options.fast ? fast_simulation(options, detector) : nullptr;
    manager->SetUserInitialization(
        new StackGeometry(options.geometry, detector, options.module, shared, options.direct));
    G4VModularPhysicsList* const physics = G4PhysListFactory(0).GetReferencePhysList(options.physics);
    if (physics == nullptr) throw std::runtime_error("Geant4 has no physics list '" + options.physics + "'");
    physics->SetDefaultCutValue(options.production_cut * mm);
    physics->SetVerboseLevel(0);
    if (shared)
        physics->RegisterPhysics(new fastcalo::geant4::FastSimulationPhysics(shared, options.all_species));
    manager->SetUserInitialization(physics);
    manager->SetUserInitialization(new Actions(shots, options.first, output));

    G4UImanager* const commands = G4UImanager::GetUIpointer();
    for (const char* const quiet : {"/process/verbose 0", "/process/em/verbose 0", "/process/had/verbose 0",
                                    "/run/verbose 0", "/control/cout/ignoreThreadsExcept 0"})
        commands->ApplyCommand(quiet);
    manager->Initialize();
    for (const std::string& command : options.commands)
        if (commands->ApplyCommand(command) != fCommandSucceeded)
            throw std::runtime_error("Geant4 does not take the command '" + command + "'");
    // fills the tables, which would be counted among the time of the first event
    manager->BeamOn(0);
    const auto start = std::chrono::steady_clock::now();
    manager->BeamOn(count);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;

    output->write(options.output);
    std::ofstream(options.output + ".times") << output->times();
    std::printf("%d events, %.6f s, %.6f s in events, %s fast simulation\n", count, passed.count(), output->seconds(),
                options.fast ? "with" : "without");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(read_options(argc, argv));
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "%s\n%s", error.what(), USAGE);
        return EXIT_FAILURE;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
