# SPDX-License-Identifier: BSD-3-Clause
"""Make the EDM4hep files of the tests with ROOT itself, in the layout that podio writes: TTree and RNTuple.

Needs ROOT and a C++ compiler: pip install --pre root; python tests/data/make_edm4hep.py
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import ROOT

HERE = Path(__file__).parent

TYPES = """
#include <cstdint>
#include <vector>
namespace edm4hep {
struct Vector3d { double x{}, y{}, z{}; };
struct MCParticleData {
  std::int32_t PDG{}, generatorStatus{}, simulatorStatus{};
  float charge{}, time{};
  double mass{};
  edm4hep::Vector3d vertex{}, endpoint{}, momentum{}, momentumAtEndpoint{};
  unsigned int parents_begin{}, parents_end{}, daughters_begin{}, daughters_end{};
};
struct EventHeaderData { std::uint64_t eventNumber{}; std::uint32_t runNumber{}; std::uint64_t timeStamp{}; };
}
#ifdef __ROOTCLING__
#pragma link C++ class edm4hep::Vector3d+;
#pragma link C++ class edm4hep::MCParticleData+;
#pragma link C++ class edm4hep::EventHeaderData+;
#pragma link C++ class std::vector<edm4hep::MCParticleData>+;
#pragma link C++ class std::vector<edm4hep::EventHeaderData>+;
#endif
"""

# event i has i particles; particle k of it an energy of 10 + k GeV; every third is not of the final state
WRITE = """
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>
#include <TFile.h>
#include <TTree.h>
using Particles = std::vector<edm4hep::MCParticleData>;
using Headers = std::vector<edm4hep::EventHeaderData>;
void fill(int i, Particles& particles, Headers& headers) {
  particles.clear();
  headers.assign(1, {1000u + i, 7u, 0u});
  for (int k = 0; k < i; ++k) {
    edm4hep::MCParticleData p;
    p.PDG = k % 2 ? 22 : 11;
    p.generatorStatus = k % 3 == 2 ? 2 : 1;
    p.mass = k % 2 ? 0 : 0.00051099895;
    p.momentum = {0.6 * (10 + k), 0.0, 0.8 * (10 + k)};
    p.vertex = {0.1 * k, 0.2, -0.3};
    particles.push_back(p);
  }
}
void write_ttree(const char* path) {
  TFile file(path, "recreate");
  TTree tree("events", ""), metadata("podio_metadata", "");
  Particles particles, *p = &particles;
  Headers headers, *h = &headers;
  int version = 1;
  tree.Branch("EventHeader", &h);
  tree.Branch("MCParticles", &p);
  metadata.Branch("version", &version);
  for (int i = 0; i < 6; ++i) { fill(i, particles, headers); tree.Fill(); }
  metadata.Fill();
  file.Write();
}
void write_rntuple(const char* path) {
  auto model = ROOT::RNTupleModel::Create();
  auto p = model->MakeField<Particles>("MCParticles");
  auto h = model->MakeField<Headers>("EventHeader");
  auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "events", path);
  for (int i = 0; i < 6; ++i) { fill(i, *p, *h); writer->Fill(); }
}
"""

with TemporaryDirectory() as folder:
    header = Path(folder) / "edm4hep.h"
    header.write_text(TYPES)
    assert ROOT.gSystem.CompileMacro(str(header), "O")
    ROOT.gInterpreter.Declare(WRITE)
    # ROOT writes the path into the file
    os.chdir(HERE)
    ROOT.write_ttree("edm4hep_ttree.root")
    ROOT.write_rntuple("edm4hep_rntuple.root")
