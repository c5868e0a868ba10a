// SPDX-License-Identifier: BSD-3-Clause
// Where Geant4's volumes stand in the detector.
#pragma once

#include <G4ThreeVector.hh>
#include <array>
#include <fastcalo/fastcalo.hpp>

namespace fastcalo::geant4 {

// Geant4's coordinates are those of the detector (beam along z, origin in the middle), or those of one of its modules.
class Placement {
  public:
    static constexpr G4int WHOLE_DETECTOR = -1;

    explicit Placement(const Detector& detector, G4int module = WHOLE_DETECTOR) {
        if (module == WHOLE_DETECTOR) return;
        const ModuleFrame frame = detector.frame(module);
        origin_ = {frame.origin[0], frame.origin[1], frame.origin[2]};
        for (std::size_t k = 0; k < 3; ++k) axes_[k] = {frame.axes[k][0], frame.axes[k][1], frame.axes[k][2]};
    }

    [[nodiscard]] G4ThreeVector rotate_to_detector(const G4ThreeVector& v) const {
        return v.x() * axes_[0] + v.y() * axes_[1] + v.z() * axes_[2];
    }
    [[nodiscard]] G4ThreeVector to_detector(const G4ThreeVector& point) const {
        return origin_ + rotate_to_detector(point);
    }
    [[nodiscard]] G4ThreeVector to_geant4(const G4ThreeVector& point) const {
        const G4ThreeVector v = point - origin_;
        return {v.dot(axes_[0]), v.dot(axes_[1]), v.dot(axes_[2])};
    }

  private:
    G4ThreeVector origin_;
    std::array<G4ThreeVector, 3> axes_{G4ThreeVector(1, 0, 0), G4ThreeVector(0, 1, 0), G4ThreeVector(0, 0, 1)};
};

}  // namespace fastcalo::geant4
