// SPDX-License-Identifier: BSD-3-Clause
// One module of a detector as Geant4 volumes: absorbers and sensors one behind the other along z, face at z = 0.
#pragma once

#include <G4VUserDetectorConstruction.hh>
#include <fastcalo/geant4/fast_simulation.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

class G4LogicalVolume;
class G4Region;

class StackGeometry : public G4VUserDetectorConstruction {
  public:
    // shared: null where Geant4 tracks everything.
    StackGeometry(const std::string& file, const fastcalo::Detector& detector, int module,
                  std::shared_ptr<fastcalo::geant4::FastSimulation> shared, bool direct);

    G4VPhysicalVolume* Construct() override;
    void ConstructSDandField() override;

  private:
    // Lengths in mm, z of the middle behind the face.
    struct Layer {
        std::string section, material;
        double middle = 0, thickness = 0;
        int layer = -1;  // of a sensor; -1 for anything else
    };
    struct Width {
        int cells = 0;
        double cell_mm = 0;
    };

    void read(const std::string& file);
    void place(const Layer& layer, G4LogicalVolume* envelope);
    G4LogicalVolume* box(const std::string& name, double x, double y, double z, const std::string& material) const;

    std::vector<Layer> layers_;
    std::map<std::string, Width> widths_;
    double side_ = 0, depth_ = 0;
    std::map<std::string, std::vector<G4LogicalVolume*>> cells_;  // of each section
    G4Region* region_ = nullptr;
    fastcalo::Detector detector_;
    int module_;
    std::shared_ptr<fastcalo::geant4::FastSimulation> shared_;
    bool direct_;
};
