// SPDX-License-Identifier: BSD-3-Clause
// Actions of the example: particles from a file, hits and times of every event into another.
#pragma once

#include <G4UserEventAction.hh>
#include <G4VUserActionInitialization.hh>
#include <G4VUserPrimaryGeneratorAction.hh>
#include <chrono>
#include <fastcalo/hits_file.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// A particle at the face: energy in GeV, point in mm.
struct Shot {
    int pdg = 0;
    double energy = 0;
    double direction[3] = {}, point[2] = {};
};

// Events of a file, with lines of: event, PDG code, kinetic energy, direction (3), point on the face (2).
std::vector<std::vector<Shot>> read_shots(const std::string& file);

// Hits of all events, which threads bring in any order.
class Output {
  public:
    explicit Output(fastcalo::Detector detector) : detector_(std::move(detector)) {}

    // Takes the cells of the present thread; the threshold is that of the section, on the sum of all.
    void take(int event, double seconds);
    // In the order of events.
    void write(const std::string& path) const;
    [[nodiscard]] double seconds() const;  // wall time of all events, each in its thread
    [[nodiscard]] std::string times() const;  // a line for each event

  private:
    struct Record {
        std::vector<fastcalo::HitsFile::Cells> sections;
        double seconds = 0;
    };
    fastcalo::Detector detector_;
    std::mutex mutex_;
    std::map<int, Record> events_;
};

class Actions : public G4VUserActionInitialization {
  public:
    Actions(std::shared_ptr<const std::vector<std::vector<Shot>>> shots, int first, std::shared_ptr<Output> output);
    void Build() const override;

  private:
    std::shared_ptr<const std::vector<std::vector<Shot>>> shots_;
    int first_;
    std::shared_ptr<Output> output_;
};
