// SPDX-License-Identifier: BSD-3-Clause
// Functions of the C interface for detectors: cell IDs, positions, propagation.
#include <algorithm>

#include "c_api/c_api_support.hpp"
#include "detector/particle_table.hpp"
#include "detector/propagation.hpp"
#include "detector/shipped_detectors.hpp"
#include "model/onnx_file.hpp"

namespace fastcalo::core::capi {
namespace {

fastcalo_status* detector_open(const char* name_or_path, fastcalo_detector** detector) {
    return guarded([&] {
        const std::string name = &given(name_or_path, "name_or_path");
        fastcalo_detector*& out = given(detector, "detector");
        const char* const shipped = shipped_detector(name);
        const std::string json = shipped == nullptr ? read_file(name) : shipped;
        out = new fastcalo_detector{std::make_shared<const Detector>(Detector::from_json(json, name))};
    });
}

fastcalo_status* detector_from_json(const char* json, std::size_t size, const char* name,
                                    fastcalo_detector** detector) {
    return guarded([&] {
        const std::string_view view(array(json, size, "text"), size);
        fastcalo_detector*& out = given(detector, "detector");
        out = new fastcalo_detector{
            std::make_shared<const Detector>(Detector::from_json(view, name == nullptr ? "the detector" : name))};
    });
}

void detector_release(fastcalo_detector* detector) { delete detector; }

fastcalo_status* detector_info(const fastcalo_detector* detector, fastcalo_detector_info* info) {
    return guarded([&] {
        const Detector& d = *given(detector, "detector").detector;
        fastcalo_detector_info& out = sized(info, "info");
        out.name = d.name.c_str();
        out.stack_hash = d.stack_hash.c_str();
        out.field_tesla = d.field_tesla;
        out.n_modules = static_cast<std::int32_t>(d.origin.size());
        out.n_sections = d.sections.size();
    });
}

const Section& section_of(const Detector& d, std::size_t index) {
    if (index >= d.sections.size())
        fail(Code::not_found, "section " + std::to_string(index) + " does not exist: detector '" + d.name + "' has " +
                                  std::to_string(d.sections.size()));
    return d.sections[index];
}

fastcalo_status* detector_section(const fastcalo_detector* detector, std::size_t index,
                                  fastcalo_detector_section* section) {
    return guarded([&] {
        const Section& s = section_of(*given(detector, "detector").detector, index);
        fastcalo_detector_section& out = sized(section, "section");
        out.name = s.name.c_str();
        out.system = s.system;
        out.layers = static_cast<std::int32_t>(s.layers());
        out.cell_mm = s.cell_mm;
        out.threshold = s.threshold;
        out.sensor_z = s.sensor_z.data();
    });
}

const fastcalo_cells& cells_of(const fastcalo_cells* cells) {
    const fastcalo_cells& c = sized(cells, "cells");
    array(c.module, c.n, "cells.module");
    array(c.layer, c.n, "cells.layer");
    array(c.x, c.n, "cells.x");
    array(c.y, c.n, "cells.y");
    return c;
}

fastcalo_status* encode(const fastcalo_detector* detector, std::size_t section, const fastcalo_cells* cells,
                        std::uint64_t* cell_id) {
    return guarded([&] {
        const Detector& d = *given(detector, "detector").detector;
        const Section& s = section_of(d, section);
        const fastcalo_cells& c = cells_of(cells);
        array(cell_id, c.n, "cell_id");
        for (std::size_t i = 0; i < c.n; ++i) {
            const Cell cell{c.module[i], c.layer[i], c.x[i], c.y[i]};
            (void)d.cell_centre(s, cell);  // refuses modules and layers that do not exist
            cell_id[i] = s.encode(cell);
        }
    });
}

fastcalo_status* decode(const fastcalo_detector* detector, std::size_t section, const std::uint64_t* cell_id,
                        const fastcalo_cells* cells) {
    return guarded([&] {
        const Section& s = section_of(*given(detector, "detector").detector, section);
        const fastcalo_cells& c = cells_of(cells);
        array(cell_id, c.n, "cell_id");
        for (std::size_t i = 0; i < c.n; ++i) {
            const Cell cell = s.decode(cell_id[i]);
            c.module[i] = static_cast<std::int32_t>(cell.module);
            c.layer[i] = static_cast<std::int32_t>(cell.layer);
            c.x[i] = static_cast<std::int32_t>(cell.x);
            c.y[i] = static_cast<std::int32_t>(cell.y);
        }
    });
}

fastcalo_status* cell_centre(const fastcalo_detector* detector, std::size_t section, const fastcalo_cells* cells,
                             double* position) {
    return guarded([&] {
        const Detector& d = *given(detector, "detector").detector;
        const Section& s = section_of(d, section);
        const fastcalo_cells& c = cells_of(cells);
        array(position, c.n, "position");
        for (std::size_t i = 0; i < c.n; ++i) {
            const Vector centre = d.cell_centre(s, {c.module[i], c.layer[i], c.x[i], c.y[i]});
            for (std::size_t k = 0; k < 3; ++k) position[3 * i + k] = centre[k];
        }
    });
}

Arrival arrival_of(const Detector& d, const std::int32_t* pdg, const double* charge, const Vector& momentum,
                   const Vector& vertex) {
    double q = 0;
    if (charge != nullptr) {
        q = *charge;
    } else {
        const auto properties = properties_of(*pdg);
        if (!properties) {
            Arrival unknown;
            unknown.reason = Reason::unknown_species;
            return unknown;
        }
        q = properties->charge;
    }
    return propagate(d, q, momentum, vertex);
}

fastcalo_status* propagate_all(const fastcalo_detector* detector, std::size_t n, const std::int32_t* pdg,
                               const double* charge, const double* momentum, const double* vertex,
                               const fastcalo_arrivals* arrivals) {
    return guarded([&] {
        const Detector& d = *given(detector, "detector").detector;
        const fastcalo_arrivals& out = sized(arrivals, "arrivals");
        if (pdg == nullptr && charge == nullptr && n > 0)
            fail(Code::invalid_argument, "pdg and charge are null pointers: one is needed");
        array(momentum, n, "momentum");
        array(vertex, n, "vertex");
        for (std::size_t i = 0; i < n; ++i) {
            const Vector p{momentum[3 * i], momentum[3 * i + 1], momentum[3 * i + 2]};
            const Vector x{vertex[3 * i], vertex[3 * i + 1], vertex[3 * i + 2]};
            const Arrival a =
                arrival_of(d, pdg == nullptr ? nullptr : pdg + i, charge == nullptr ? nullptr : charge + i, p, x);
            if (out.reason != nullptr) out.reason[i] = static_cast<std::int8_t>(a.reason);
            if (out.module != nullptr) out.module[i] = static_cast<std::int32_t>(a.module);
            for (std::size_t k = 0; k < 2; ++k)
                if (out.entry != nullptr)
                    out.entry[2 * i + k] = a.entry[k] + static_cast<double>(a.cell[k]) * d.sections.front().cell_mm;
            for (std::size_t k = 0; k < 3; ++k) {
                if (out.direction != nullptr) out.direction[3 * i + k] = a.direction[k];
                if (out.position != nullptr) out.position[3 * i + k] = a.position[k];
            }
        }
    });
}

fastcalo_status* module_frame(const fastcalo_detector* detector, std::int32_t module, double* origin, double* axes) {
    return guarded([&] {
        const Detector& d = *given(detector, "detector").detector;
        array(origin, 3, "origin");
        array(axes, 9, "axes");
        const auto m = static_cast<std::size_t>(module);
        if (module < 0 || m >= d.origin.size())
            fail(Code::invalid_argument, "modules are numbered 0 to " + std::to_string(d.origin.size() - 1) +
                                             ", but got " + std::to_string(module));
        std::copy(d.origin[m].begin(), d.origin[m].end(), origin);
        for (std::size_t k = 0; k < 3; ++k) std::copy(d.axes[m][k].begin(), d.axes[m][k].end(), axes + 3 * k);
    });
}

}  // namespace

void add_detector_functions(fastcalo_api& api) noexcept {
    api.detector_open = detector_open;
    api.detector_from_json = detector_from_json;
    api.detector_release = detector_release;
    api.detector_info = detector_info;
    api.detector_section = detector_section;
    api.encode = encode;
    api.decode = decode;
    api.cell_centre = cell_centre;
    api.propagate = propagate_all;
    api.module_frame = module_frame;
}

}  // namespace fastcalo::core::capi
