// SPDX-License-Identifier: BSD-3-Clause
#include "geometry.hpp"

#include <G4Box.hh>
#include <G4LogicalVolume.hh>
#include <G4NistManager.hh>
#include <G4PVPlacement.hh>
#include <G4PVReplica.hh>
#include <G4Region.hh>
#include <G4SDManager.hh>
#include <G4SystemOfUnits.hh>
#include <algorithm>
#include <fastcalo/geant4/model.hpp>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "cells.hpp"

namespace {

constexpr double MARGIN = 1000 * mm;
const char* const AIR = "G4_AIR";

}  // namespace

StackGeometry::StackGeometry(const std::string& file, const fastcalo::Detector& detector, int module,
                             std::shared_ptr<fastcalo::geant4::FastSimulation> shared, bool direct)
    : detector_(detector), module_(module), shared_(std::move(shared)), direct_(direct) {
    read(file);
}

void StackGeometry::read(const std::string& file) {
    std::ifstream in(file);
    std::string line, kind;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        if (!(words >> kind)) continue;
        if (kind == "section") {
            std::string name;
            Width width;
            words >> name >> width.cells >> width.cell_mm;
            widths_[name] = width;
            side_ = std::max(side_, width.cells * width.cell_mm * mm);
        } else {
            Layer layer;
            words >> layer.section >> layer.material >> layer.middle >> layer.thickness;
            if (kind == "sensor") words >> layer.layer;
            layers_.push_back(layer);
            depth_ = std::max(depth_, (layer.middle + layer.thickness / 2) * mm);
        }
        if (!words) throw std::runtime_error(file + ": cannot be read: " + line);
    }
    if (layers_.empty()) throw std::runtime_error(file + ": has no layers, or cannot be opened");
}

G4VPhysicalVolume* StackGeometry::Construct() {
    G4LogicalVolume* const world = box("world", side_ + 2 * MARGIN, side_ + 2 * MARGIN, 2 * (depth_ + MARGIN), AIR);
    auto* const top = new G4PVPlacement(nullptr, {}, world, "world", nullptr, false, 0);
    // an envelope makes the region one without holes
    G4LogicalVolume* const envelope = box("calorimeter", side_, side_, depth_, AIR);
    new G4PVPlacement(nullptr, G4ThreeVector(0, 0, depth_ / 2), envelope, "calorimeter", world, false, 0);
    for (const Layer& layer : layers_) place(layer, envelope);
    region_ = new G4Region("calorimeter");
    region_->AddRootLogicalVolume(envelope);
    return top;
}

void StackGeometry::place(const Layer& layer, G4LogicalVolume* envelope) {
    const Width& width = widths_.at(layer.section);
    const double cell = width.cell_mm * mm, wide = width.cells * cell, thickness = layer.thickness * mm;
    const bool sensor = layer.layer >= 0;
    G4LogicalVolume* const slab = box(layer.section, wide, wide, thickness, layer.material);
    new G4PVPlacement(nullptr, G4ThreeVector(0, 0, layer.middle * mm - depth_ / 2), slab, layer.section, envelope,
                      false, std::max(layer.layer, 0));
    if (!sensor) return;
    G4LogicalVolume* const column = box("column", cell, wide, thickness, layer.material);
    new G4PVReplica("column", column, slab, kXAxis, width.cells, cell);
    G4LogicalVolume* const square = box("cell", cell, cell, thickness, layer.material);
    new G4PVReplica("cell", square, column, kYAxis, width.cells, cell);
    cells_[layer.section].push_back(square);
}

G4LogicalVolume* StackGeometry::box(const std::string& name, double x, double y, double z,
                                    const std::string& material) const {
    G4Material* const found = G4NistManager::Instance()->FindOrBuildMaterial(material);
    if (found == nullptr) throw std::runtime_error("Geant4 has no material '" + material + "'");
    return new G4LogicalVolume(new G4Box(name, x / 2, y / 2, z / 2), found, name);
}

void StackGeometry::ConstructSDandField() {
    for (std::size_t s = 0; s < detector_.info().n_sections; ++s) {
        const std::string name = detector_.section(s).name;
        auto* const sensitive = new SectionDetector(detector_, s, module_, widths_.at(name).cells);
        G4SDManager::GetSDMpointer()->AddNewDetector(sensitive);
        for (G4LogicalVolume* const cell : cells_.at(name)) SetSensitiveDetector(cell, sensitive);
    }
    if (!shared_) return;
    // Geant4 keeps it until the thread ends
    new fastcalo::geant4::FastSimulationModel("fastcalo", region_, shared_,
                                              direct_ ? std::make_unique<StraightToCells>() : nullptr);
}
