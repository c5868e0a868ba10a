// SPDX-License-Identifier: BSD-3-Clause
#include "detector/shipped_detectors.hpp"

namespace fastcalo::core {
namespace {

// fastcalo.load_detector("clic-like").description, which a test compares with this
constexpr const char* CLIC_LIKE = R"json({
 "name": "clic-like",
 "solenoid": {
  "field_tesla": 4.0
 },
 "barrel": {
  "staves": 12,
  "inner_radius_mm": 1500.0,
  "half_length_mm": 2000.0
 },
 "endcap": {
  "front_mm": 2000.0,
  "inner_radius_mm": 250.0,
  "outer_radius_mm": 3100.0
 },
 "section": {
  "ECAL": {
   "absorber": "G4_W",
   "sensor": "G4_Si",
   "gap": "G4_AIR",
   "sensor_mm": 0.5,
   "gap_mm": 0.5,
   "cell_mm": 5.1,
   "front_mm": 0.0,
   "layers": [
    {
     "count": 17,
     "absorber_mm": 2.4
    },
    {
     "count": 8,
     "absorber_mm": 4.8
    }
   ],
   "window": [25, 25],
   "threshold_gev": 2e-05,
   "system": 20,
   "encoding": "system:5,module:5,layer:8,x:32:-16,y:-16"
  },
  "HCAL": {
   "absorber": "G4_Fe",
   "sensor": "G4_POLYSTYRENE",
   "gap": "G4_AIR",
   "sensor_mm": 3.0,
   "gap_mm": 2.7,
   "cell_mm": 30.0,
   "front_mm": 140.0,
   "layers": [
    {
     "count": 60,
     "absorber_mm": 19.0
    }
   ],
   "window": [25, 25],
   "threshold_gev": 5e-05,
   "system": 22,
   "encoding": "system:5,module:5,layer:8,x:32:-16,y:-16"
  }
 },
 "geant4": {
  "physics_list": "FTFP_BERT",
  "production_cut_mm": 0.1,
  "kinetic_energy_gev": [
   0.001,
   1000.0
  ],
  "max_angle_degrees": 80.0
 },
 "substitutes": {
  "321": {
   "pdg": 211,
   "add_gev": 0.354
  },
  "-321": {
   "pdg": -211,
   "add_gev": 0.354
  },
  "310": {
   "pdg": 130,
   "add_gev": 0.0
  },
  "311": {
   "pdg": 130,
   "add_gev": 0.0
  },
  "-311": {
   "pdg": 130,
   "add_gev": 0.0
  },
  "-2112": {
   "pdg": 2112,
   "add_gev": 1.879
  },
  "-2212": {
   "pdg": 2212,
   "add_gev": 1.877
  },
  "3122": {
   "pdg": 2112,
   "add_gev": 0.176
  },
  "-3122": {
   "pdg": 2112,
   "add_gev": 2.055
  },
  "3112": {
   "pdg": -211,
   "add_gev": 0.258
  },
  "-3112": {
   "pdg": 211,
   "add_gev": 2.137
  },
  "3222": {
   "pdg": 2212,
   "add_gev": 0.25
  },
  "-3222": {
   "pdg": 2212,
   "add_gev": 2.129
  },
  "3312": {
   "pdg": -211,
   "add_gev": 0.382
  },
  "-3312": {
   "pdg": 211,
   "add_gev": 2.261
  },
  "3322": {
   "pdg": 2112,
   "add_gev": 0.375
  },
  "-3322": {
   "pdg": 2112,
   "add_gev": 2.254
  },
  "3334": {
   "pdg": -211,
   "add_gev": 0.733
  },
  "-3334": {
   "pdg": 211,
   "add_gev": 2.612
  }
 }
})json";

}  // namespace

const char* shipped_detector(std::string_view name) noexcept { return name == "clic-like" ? CLIC_LIKE : nullptr; }

}  // namespace fastcalo::core
