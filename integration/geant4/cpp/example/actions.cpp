// SPDX-License-Identifier: BSD-3-Clause
#include "actions.hpp"

#include <G4Event.hh>
#include <G4ParticleGun.hh>
#include <G4ParticleTable.hh>
#include <G4SystemOfUnits.hh>
#include <Randomize.hh>
#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "cells.hpp"

namespace {

constexpr double IN_FRONT = 1 * mm;

class Gun : public G4VUserPrimaryGeneratorAction {
  public:
    Gun(std::shared_ptr<const std::vector<std::vector<Shot>>> shots, int first)
        : shots_(std::move(shots)), first_(first) {}

    void GeneratePrimaries(G4Event* event) override {
        const int number = first_ + event->GetEventID();
        event->SetEventID(number);
        // an event is the same in whatever thread, and whatever came before it
        const std::array<long, 3> seeds{number + 1, 1, 0};
        G4Random::setTheSeeds(seeds.data());
        for (const Shot& shot : shots_->at(static_cast<std::size_t>(number))) {
            auto* const particle = G4ParticleTable::GetParticleTable()->FindParticle(shot.pdg);
            if (particle == nullptr) throw std::runtime_error("Geant4 knows no particle " + std::to_string(shot.pdg));
            const G4ThreeVector direction(shot.direction[0], shot.direction[1], shot.direction[2]);
            const G4ThreeVector point(shot.point[0] * mm, shot.point[1] * mm, 0);
            gun_.SetParticleDefinition(particle);
            gun_.SetParticleEnergy(shot.energy * GeV);
            gun_.SetParticleMomentumDirection(direction);
            gun_.SetParticlePosition(point - direction * (IN_FRONT / direction.z()));
            gun_.GeneratePrimaryVertex(event);
        }
    }

  private:
    std::shared_ptr<const std::vector<std::vector<Shot>>> shots_;
    int first_;
    G4ParticleGun gun_{1};
};

class EventAction : public G4UserEventAction {
  public:
    explicit EventAction(std::shared_ptr<Output> output) : output_(std::move(output)) {}

    void BeginOfEventAction(const G4Event* /*event*/) override {
        cells_of_thread().clear();
        start_ = std::chrono::steady_clock::now();
    }
    void EndOfEventAction(const G4Event* event) override {
        const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
        output_->take(event->GetEventID(), passed.count());
    }

  private:
    std::shared_ptr<Output> output_;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace

std::vector<std::vector<Shot>> read_shots(const std::string& file) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error(file + ": cannot be opened");
    std::vector<std::vector<Shot>> events;
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::size_t event = 0;
        Shot s;
        if (!(words >> event)) continue;
        if (events.size() <= event) events.resize(event + 1);
        // an event alone on its line is one without particles
        if (!(words >> s.pdg)) continue;
        words >> s.energy >> s.direction[0] >> s.direction[1] >> s.direction[2] >> s.point[0] >> s.point[1];
        if (!words) throw std::runtime_error(file + ": cannot be read: " + line);
        events[event].push_back(s);
    }
    return events;
}

void Output::take(int event, double seconds) {
    Record record;
    record.seconds = seconds;
    const Cells& cells = cells_of_thread();
    record.sections.resize(detector_.info().n_sections);
    for (std::size_t s = 0; s < cells.sections.size(); ++s) {
        const auto threshold = static_cast<float>(detector_.section(s).threshold);
        for (const auto& [cell_id, content] : cells.sections[s]) {
            const auto energy = static_cast<float>(content.energy / GeV);
            if (energy <= threshold) continue;
            record.sections[s].cell_id.push_back(cell_id);
            record.sections[s].energy.push_back(energy);
        }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    events_[event] = std::move(record);
}

void Output::write(const std::string& path) const {
    fastcalo::HitsFile file(path, detector_);
    for (const auto& [event, record] : events_) file.write({0, event}, record.sections);
    file.close();
}

double Output::seconds() const {
    double sum = 0;
    for (const auto& [event, record] : events_) sum += record.seconds;
    return sum;
}

std::string Output::times() const {
    std::ostringstream out;
    for (const auto& [event, record] : events_) out << event << ' ' << record.seconds << '\n';
    return out.str();
}

Actions::Actions(std::shared_ptr<const std::vector<std::vector<Shot>>> shots, int first,
                 std::shared_ptr<Output> output)
    : shots_(std::move(shots)), first_(first), output_(std::move(output)) {}

void Actions::Build() const {
    SetUserAction(new Gun(shots_, first_));
    SetUserAction(new EventAction(output_));
}
