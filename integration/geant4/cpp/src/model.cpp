// SPDX-License-Identifier: BSD-3-Clause
#include "fastcalo/geant4/model.hpp"

#include <G4Event.hh>
#include <G4EventManager.hh>
#include <G4FastStep.hh>
#include <G4FastTrack.hh>
#include <G4ParticleDefinition.hh>
#include <G4PhysicalConstants.hh>
#include <G4Region.hh>
#include <G4Run.hh>
#include <G4RunManager.hh>
#include <G4Step.hh>
#include <G4SystemOfUnits.hh>
#include <G4Track.hh>
#include <G4VSolid.hh>
#include <chrono>
#include <utility>

namespace fastcalo::geant4 {
namespace {

// Adds its lifetime to a number of seconds.
class Stopwatch {
  public:
    explicit Stopwatch(double& seconds) : seconds_(seconds) {}
    ~Stopwatch() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

  private:
    double& seconds_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void clear(Event& event) {
    event.pdg.clear();
    event.status.clear();
    event.momentum.clear();
    event.vertex.clear();
    event.mass.clear();
    event.number.clear();
}

// In the units and coordinates of the library.
void add(Event& event, const G4Track& track, std::uint32_t number, const Placement& placement) {
    const G4ThreeVector at = placement.to_detector(track.GetPosition()) / mm;
    const G4ThreeVector p = placement.rotate_to_detector(track.GetMomentum()) / GeV;
    event.add(track.GetDefinition()->GetPDGEncoding(), {p.x(), p.y(), p.z()}, {at.x(), at.y(), at.z()});
    event.mass.push_back(track.GetDynamicParticle()->GetMass() / GeV);
    event.number.push_back(number);
}

// Whether the particle comes through the surface of the region in this step; inside, boundaries are met all the time.
bool enters(const G4FastTrack& fast) {
    const G4StepPoint* const here = fast.GetPrimaryTrack()->GetStep()->GetPreStepPoint();
    return here->GetStepStatus() == fGeomBoundary &&
           fast.GetEnvelopeSolid()->Inside(fast.GetPrimaryTrackLocalPosition()) == kSurface;
}

[[noreturn]] void stop(const char* where, const std::exception& error) {
    G4Exception(where, "fastcalo001", FatalException, error.what());
    std::abort();  // Geant4 has ended the program, unless a handler of the host's went on
}

}  // namespace

FastSimulationModel::FastSimulationModel(const G4String& name, G4Region* region,
                                         std::shared_ptr<FastSimulation> shared, std::unique_ptr<HitTarget> target)
    : G4VFastSimulationModel(name, region),
      shared_(std::move(shared)),
      target_(target ? std::move(target) : std::make_unique<SensitiveDetectors>()) {}

FastSimulationModel::~FastSimulationModel() = default;

// Species without a model are asked about, too, so that they are counted.
G4bool FastSimulationModel::IsApplicable(const G4ParticleDefinition& /*particle*/) { return true; }

G4bool FastSimulationModel::ModelTrigger(const G4FastTrack& track) {
    if (!shared_->settings.enabled || !enters(track)) return false;
    begin_event();
    const Stopwatch stopwatch(statistics_.deciding);
    const std::size_t reason = decide(track);
    Statistics::Count& count = statistics_.entries[reason];
    ++count.particles;
    count.energy += track.GetPrimaryTrack()->GetKineticEnergy();
    ++entries_;
    return reason == FASTCALO_SIMULATED;
}

std::size_t FastSimulationModel::decide(const G4FastTrack& fast) {
    const G4Track& track = *fast.GetPrimaryTrack();
    clear(candidate_);
    add(candidate_, track, entries_, shared_->placement());
    std::int8_t reason = FASTCALO_SIMULATED;
    try {
        reason = shared_->simulation().reasons(candidate_).front();
    } catch (const std::exception& error) {
        stop("FastSimulationModel::ModelTrigger", error);
    }
    if (reason != FASTCALO_SIMULATED) return static_cast<std::size_t>(reason);
    const Cuts& cuts = shared_->settings.cuts;
    const G4double energy = track.GetKineticEnergy();
    const bool kept = energy >= cuts.lowest_kinetic_energy && energy <= cuts.highest_kinetic_energy &&
                      cuts.excluded.count(track.GetDefinition()->GetPDGEncoding()) == 0 &&
                      (!cuts.keep || cuts.keep(fast));
    return kept ? static_cast<std::size_t>(FASTCALO_SIMULATED) : CUT;
}

void FastSimulationModel::DoIt(const G4FastTrack& fast, G4FastStep& step) {
    const G4Track& track = *fast.GetPrimaryTrack();
    const std::uint32_t number = entries_ - 1;  // given by ModelTrigger
    add(event_, track, number, shared_->placement());
    stopped_.push_back({track.GetDefinition(), track.GetPosition(), track.GetMomentumDirection(),
                        track.GetKineticEnergy(), track.GetDynamicParticle()->GetMass(), track.GetGlobalTime(),
                        track.GetWeight(), track.GetTrackID(), track.GetParentID(), number});
    // nothing is deposited here, where a sensor might stand: energies come with the hits
    step.KillPrimaryTrack();
    step.ProposePrimaryTrackPathLength(0);
    step.ProposeTotalEnergyDeposited(0);
}

void FastSimulationModel::begin_event() {
    const G4int run = G4RunManager::GetRunManager()->GetCurrentRun()->GetRunID();
    const G4int number = G4EventManager::GetEventManager()->GetConstCurrentEvent()->GetEventID();
    if (run == run_ && number == number_) return;
    run_ = run;
    number_ = number;
    entries_ = 0;
    // of an event that was aborted, for which Geant4 calls no Flush
    clear(event_);
    stopped_.clear();
    statistics_ = {};
    statistics_.events = 1;
}

void FastSimulationModel::Flush() {
    if (!shared_->settings.enabled) return;
    begin_event();
    if (!stopped_.empty()) {
        try {
            simulate();
        } catch (const std::exception& error) {
            stop("FastSimulationModel::Flush", error);
        }
    }
    clear(event_);
    stopped_.clear();
    // once an event, so that the lock costs nothing; Geant4 calls Flush again if it has tracked on since
    shared_->add(statistics_);
    statistics_ = {};
}

void FastSimulationModel::simulate() {
    {
        const Stopwatch stopwatch(statistics_.simulating);
        event_.run = shared_->settings.first_run + run_;
        event_.event = number_;
        shared_->simulation().run(event_, shared_->settings.seed, hits_, FASTCALO_KEEP_PARTICLES_APART);
    }
    const Stopwatch stopwatch(statistics_.placing);
    collect_hits();
    const HitTarget::Lost lost = target_->take(stopped_, found_);
    statistics_.lost_hits += lost.hits;
    statistics_.lost_energy += lost.energy;
}

void FastSimulationModel::collect_hits() {
    face_.resize(3 * stopped_.size());
    auto arrivals = fastcalo_arrivals{};
    arrivals.struct_size = sizeof(arrivals);
    arrivals.position = face_.data();
    check(api().propagate(shared_->detector().get(), stopped_.size(), event_.pdg.data(), nullptr,
                          event_.momentum.data(), event_.vertex.data(), &arrivals));
    std::vector<G4ThreeVector> face(stopped_.size());
    std::vector<G4double> arrival(stopped_.size());
    for (std::size_t i = 0; i < stopped_.size(); ++i) {
        const StoppedParticle& p = stopped_[i];
        face[i] = shared_->placement().to_geant4(G4ThreeVector(face_[3 * i], face_[3 * i + 1], face_[3 * i + 2]) * mm);
        const G4double total = p.kinetic_energy + p.mass;
        const G4double speed = c_light * std::sqrt(p.kinetic_energy * (total + p.mass)) / total;
        arrival[i] = p.time + (face[i] - p.position).mag() / speed;
    }
    found_.clear();
    const std::size_t sections = shared_->detector().info().n_sections;
    for (std::size_t s = 0; s < sections; ++s) {
        const fastcalo_section_hits view = hits_.view(s);
        for (std::size_t h = 0; h < view.n; ++h) {
            const auto i = static_cast<std::size_t>(view.particle[h]);
            const float* const at = view.position + 3 * h;
            const G4ThreeVector position = shared_->placement().to_geant4(
                G4ThreeVector(static_cast<double>(at[0]), static_cast<double>(at[1]), static_cast<double>(at[2])) * mm);
            const G4double time = arrival[i] + (position - face[i]).mag() / c_light;
            found_.push_back({s, view.cell_id[h], static_cast<double>(view.energy[h]) * GeV, time, position, i});
            statistics_.hit_energy += found_.back().energy;
        }
        statistics_.hits += static_cast<G4long>(view.n);
    }
}

}  // namespace fastcalo::geant4
