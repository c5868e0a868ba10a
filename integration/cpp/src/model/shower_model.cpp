// SPDX-License-Identifier: BSD-3-Clause
#include "model/shower_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "model/noise.hpp"
#include "model/onnx_file.hpp"
#include "support/errors.hpp"
#include "support/sha256.hpp"

namespace fastcalo::core {
namespace {

constexpr int WITHOUT_DIGEST = 1;  // last format of contracts whose files need not hold a digest
// twice that of a simulation, which decides in double precision: what it accepts is never refused here
constexpr double SLACK = 2e-6;
constexpr double FARTHEST_MM = 1e5;    // of an entry in the frame of its module: larger than any module
constexpr double UNIT_LENGTH = 1e-3;   // how far from 1 a unit vector's length may be
constexpr std::int64_t ROWS_STEP = 8;  // as in Python: numbers of noise are drawn in blocks of eight
constexpr const char* WINDOWS = "windows";
// Rows of noise of a batch, for so many hits fill the caches; but a batch shares the fixed cost of a run.
constexpr std::int64_t MOST_ROWS = 600'000;
constexpr std::size_t FEW_SHOWERS = 16;

std::string name_of_shape(const std::vector<std::int64_t>& shape) {
    std::string out = "[N";
    for (const std::int64_t length : shape) out += ", " + (length < 0 ? std::string("P") : std::to_string(length));
    return out + "]";
}

const TensorInfo* find(const std::vector<TensorInfo>& infos, const std::string& name) {
    for (const TensorInfo& info : infos)
        if (info.name == name) return &info;
    return nullptr;
}

// Whether a graph's shape, with the batch in front, can be that of a contract; -1 is any length.
bool agrees(const std::vector<std::int64_t>& graph, const std::vector<std::int64_t>& contract) {
    if (graph.size() != contract.size() + 1) return false;
    for (std::size_t k = 0; k < contract.size(); ++k)
        if (graph[k + 1] >= 0 && contract[k] >= 0 && graph[k + 1] != contract[k]) return false;
    return true;
}

void expect(const Tensor& tensor, DataType type, const std::string& model) {
    if (tensor.type != type)
        fail(Code::contract, model + ": clause 'sections': output '" + tensor.name + "' has numbers of another type");
}

// One hit of a shower as a graph gives it, checked, and put to the others.
struct Hit {
    std::int64_t row, x, y, layer;
    float deposit;
};

}  // namespace

void SectionShowers::clear() noexcept {
    shower.clear();
    x.clear();
    y.clear();
    layer.clear();
    deposit.clear();
}

ShowerModel::ShowerModel(std::string image, const std::string& where, const ModelOptions& options) : where_(where) {
    const OnnxFile file = read_onnx(image, where);
    // first, so that a file which is damaged is not taken for one of another fastcalo
    (void)file.check_digest(where, false);
    contract_ = read_contract(file.find(METADATA_KEY), where);
    (void)file.check_digest(where, contract_.format > WITHOUT_DIGEST);
    file_hash_ = sha256(image);
    backend_ = open_backend(image, options);
    check_graph();
    has_windows_ = find(backend_->inputs(), WINDOWS) != nullptr;
}

void ShowerModel::check_graph() const {
    std::set<std::string> want{"kinetic_energy", "direction", "entry", "species"}, have;
    for (const NoiseSpec& spec : contract_.noise) want.insert(spec.name);
    for (const TensorInfo& input : backend_->inputs())
        if (!input.optional) have.insert(input.name);
    const auto refuse = [this](const std::string& clause, const std::string& problem) {
        fail(Code::contract, where_ + ": clause '" + clause + "': " + problem);
    };
    for (const std::string& name : have)
        if (want.count(name) == 0) refuse("noise", "the graph takes '" + name + "', which the contract does not name");
    for (const std::string& name : want)
        if (have.count(name) == 0) refuse("noise", "the graph does not take '" + name + "'");
    for (const NoiseSpec& spec : contract_.noise)
        if (!agrees(find(backend_->inputs(), spec.name)->shape, spec.shape))
            refuse("noise", "'" + spec.name + "' has another shape in the graph than " + name_of_shape(spec.shape));
    for (const std::string& section : contract_.sections) {
        std::vector<std::string> names;
        if (!contract_.whole()) names.push_back(section);
        if (contract_.sparse)
            for (const char* tail : {"_shower", "_cell", "_deposit"}) names.push_back(section + tail);
        for (const std::string& name : names)
            if (find(backend_->outputs(), name) == nullptr)
                refuse("sections", "the graph has no output '" + name + "'");
        const Window w = contract_.window(section);
        if (!contract_.whole() && !agrees(find(backend_->outputs(), section)->shape, {w.x, w.y, w.layers}))
            refuse("stack",
                   "'" + section + "' has another shape in the graph than " + name_of_shape({w.x, w.y, w.layers}));
    }
    if (contract_.whole() && !contract_.sparse) refuse("sparse", "must be true for models of whole showers");
}

void ShowerModel::check(const Particles& p) const {
    double reach = FARTHEST_MM;
    if (!contract_.whole()) {
        const Json* cell = contract_.stack.find("sections")->items().front().find("cell_mm");
        reach = cell != nullptr && cell->is_number() ? cell->number() / 2 * (1 + SLACK)
                                                     : std::numeric_limits<double>::infinity();
    }
    for (std::size_t i = 0; i < p.n; ++i) {
        const float* d = p.direction + 3 * i;
        const float* e = p.entry + 2 * i;
        const double length = std::sqrt(double{d[0]} * d[0] + double{d[1]} * d[1] + double{d[2]} * d[2]);
        std::string problem;
        if (!contract_.knows(p.pdg[i]))
            problem = "pdg is none of its species";
        else if (!contract_.energy_ok(static_cast<double>(p.kinetic_energy[i]), SLACK))
            problem = "kinetic_energy must be within " + text(contract_.kinetic_energy[0]) + " to " +
                      text(contract_.kinetic_energy[1]) + " GeV";
        else if (!(std::fabs(length - 1) < UNIT_LENGTH))
            problem = "direction must be a unit vector";
        else if (!contract_.angle_ok(static_cast<double>(d[2]), SLACK))
            problem = "direction must be within " + text(contract_.max_angle) + " rad of z";
        else if (!(std::fabs(e[0]) <= reach && std::fabs(e[1]) <= reach))
            problem = "entry must be within " + text(reach) + " mm of " +
                      (contract_.whole() ? "the module's origin" : "the centre of the cell that is hit");
        if (!problem.empty())
            fail(Code::out_of_domain, "model '" + contract_.name + "': " + problem + ", but particle " +
                                          std::to_string(i) + " is not (pdg " + std::to_string(p.pdg[i]) + ", " +
                                          text(static_cast<double>(p.kinetic_energy[i])) + " GeV, direction " +
                                          text(static_cast<double>(d[0])) + " " + text(static_cast<double>(d[1])) +
                                          " " + text(static_cast<double>(d[2])) + ", entry " +
                                          text(static_cast<double>(e[0])) + " " + text(static_cast<double>(e[1])) +
                                          ")");
    }
}

void ShowerModel::sample(const Particles& p, const Stream* streams, Showers& out) const {
    out.resize(contract_.sections.size());
    for (SectionShowers& section : out) section.clear();
    // showers of like energy are drawn together: their number of hits, which decides the work, is alike
    std::vector<std::int64_t> order(p.n);
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return p.kinetic_energy[a] < p.kinetic_energy[b]; });
    std::unique_ptr<Batch> batch = spares_.take();
    if (!batch) batch = std::make_unique<Batch>();
    for (std::size_t start = 0, n = 0; start < p.n; start += n) {
        n = batch_size(p, &order[start], p.n - start);
        fill(*batch, p, streams, &order[start], n);
        run_batch({n, batch->pdg.data(), batch->energy.data(), batch->direction.data(), batch->entry.data()},
                  batch->noise, &order[start], out);
    }
    spares_.give(std::move(batch));
}

std::size_t ShowerModel::batch_size(const Particles& p, const std::int64_t* order, std::size_t left) const {
    std::size_t n = std::min(backend_->batch(), left);
    const auto rows = [&](std::size_t last) {
        std::int64_t most = 1;
        for (const NoiseSpec& spec : contract_.noise)
            most = std::max(most, rows_needed(spec, &p.kinetic_energy[order[last]], 1));
        return most;
    };
    while (n > FEW_SHOWERS && static_cast<std::int64_t>(n) * rows(n - 1) > MOST_ROWS) --n;
    return n;
}

void ShowerModel::fill(Batch& b, const Particles& p, const Stream* streams, const std::int64_t* order,
                       std::size_t n) const {
    b.pdg.resize(n);
    b.energy.resize(n);
    b.direction.resize(3 * n);
    b.entry.resize(2 * n);
    b.random.resize(n);
    for (std::size_t k = 0; k < n; ++k) {
        const auto i = static_cast<std::size_t>(order[k]);
        b.pdg[k] = p.pdg[i];
        b.energy[k] = p.kinetic_energy[i];
        std::copy_n(p.direction + 3 * i, 3, &b.direction[3 * k]);
        std::copy_n(p.entry + 2 * i, 2, &b.entry[2 * k]);
        b.random[k] = streams[i];
    }
    b.tensors.resize(contract_.noise.size());
    b.noise.clear();
    for (std::size_t t = 0; t < b.tensors.size(); ++t) {
        const NoiseSpec& spec = contract_.noise[t];
        std::int64_t rows = rows_needed(spec, b.energy.data(), n);
        if (spec.capacity) rows = (rows + ROWS_STEP - 1) / ROWS_STEP * ROWS_STEP;
        const std::size_t numbers = n * static_cast<std::size_t>(rows) * spec.width();
        // never shorter: what is added is set to zero first, which takes as long as the drawing
        if (b.tensors[t].size() < numbers) b.tensors[t].resize(numbers);
        draw(spec, t, b.random.data(), b.energy.data(), n, rows, b.tensors[t].data());
        b.noise.push_back({b.tensors[t].data(), rows});
    }
}

void ShowerModel::run(const Particles& p, const std::vector<NoiseView>& noise, Showers& out) const {
    if (noise.size() != contract_.noise.size())
        fail(Code::invalid_argument, "model '" + contract_.name + "' takes " + std::to_string(contract_.noise.size()) +
                                         " tensors of noise, not " + std::to_string(noise.size()));
    for (std::size_t t = 0; t < noise.size(); ++t) {
        const NoiseSpec& spec = contract_.noise[t];
        const std::int64_t rows = rows_needed(spec, p.kinetic_energy, p.n);
        if (spec.capacity ? noise[t].rows < rows : noise[t].rows != 1)
            fail(Code::buffer_too_small, "noise tensor '" + spec.name + "' has " + std::to_string(noise[t].rows) +
                                             " rows, but these energies ask for " + std::to_string(rows));
    }
    out.resize(contract_.sections.size());
    for (SectionShowers& section : out) section.clear();
    std::vector<std::int64_t> order(p.n);
    std::iota(order.begin(), order.end(), std::int64_t{0});
    if (p.n > 0) run_batch(p, noise, order.data(), out);
}

void ShowerModel::run_batch(const Particles& p, const std::vector<NoiseView>& noise, const std::int64_t* shower,
                            Showers& out) const {
    const auto n = static_cast<std::int64_t>(p.n);
    const std::vector<std::int64_t> species(p.pdg, p.pdg + p.n);
    std::vector<TensorView> inputs{{"kinetic_energy", DataType::float32, {n}, p.kinetic_energy},
                                   {"direction", DataType::float32, {n, 3}, p.direction},
                                   {"entry", DataType::float32, {n, 2}, p.entry},
                                   {"species", DataType::int64, {n}, species.data()}};
    for (std::size_t t = 0; t < noise.size(); ++t) {
        const NoiseSpec& spec = contract_.noise[t];
        std::vector<std::int64_t> shape{n};
        for (const std::int64_t length : spec.shape) shape.push_back(length == -1 ? noise[t].rows : length);
        inputs.push_back({spec.name, DataType::float32, shape, noise[t].data});
    }
    const bool no_windows = false;
    if (contract_.sparse && has_windows_) inputs.push_back({WINDOWS, DataType::boolean, {}, &no_windows});
    std::vector<std::string> names;
    for (const std::string& section : contract_.sections) {
        if (!contract_.sparse)
            names.push_back(section);
        else
            for (const char* tail : {"_shower", "_cell", "_deposit"}) names.push_back(section + tail);
    }
    const std::vector<Tensor> tensors = backend_->run(inputs, names);
    const std::size_t each = contract_.sparse ? 3 : 1;
    for (std::size_t s = 0; s < contract_.sections.size(); ++s)
        append(contract_.sections[s], tensors, s * each, p, shower, out[s]);
}

void ShowerModel::append(const std::string& section, const std::vector<Tensor>& tensors, std::size_t first,
                         const Particles& p, const std::int64_t* shower, SectionShowers& out) const {
    const Window w = contract_.window(section);
    const std::string model = "model '" + contract_.name + "' (" + where_ + ")";
    const bool whole = contract_.whole();
    const auto put = [&](const Hit& hit) {
        const bool inside =
            hit.row >= 0 && hit.row < static_cast<std::int64_t>(p.n) && hit.layer >= 0 && hit.layer < w.layers &&
            (whole || (hit.x >= -(w.x / 2) && hit.x < w.x - w.x / 2 && hit.y >= -(w.y / 2) && hit.y < w.y - w.y / 2));
        // NaN fails both comparisons
        if (!inside || !(hit.deposit > 0 && hit.deposit < std::numeric_limits<float>::infinity()))
            fail(Code::contract, model + ": gives " +
                                     (inside ? "deposits that are no energies" : "hits outside the window") + " in " +
                                     section + ": " + text(static_cast<double>(hit.deposit)) + " GeV in cell (" +
                                     std::to_string(hit.x) + ", " + std::to_string(hit.y) + ") of layer " +
                                     std::to_string(hit.layer) + "; the model is damaged, or was trained badly");
        out.shower.push_back(shower[hit.row]);
        out.x.push_back(static_cast<std::int32_t>(hit.x));
        out.y.push_back(static_cast<std::int32_t>(hit.y));
        out.layer.push_back(static_cast<std::int32_t>(hit.layer));
        out.deposit.push_back(hit.deposit);
    };
    const auto of_window = [&](std::int64_t row, std::int64_t cell, float deposit) {
        const std::int64_t xy = cell / w.layers;
        put({row, xy / w.y - w.x / 2, xy % w.y - w.y / 2, cell < 0 ? -1 : cell % w.layers, deposit});
    };
    if (!contract_.sparse) {
        expect(tensors[first], DataType::float32, model);
        const auto* deposit = tensors[first].as<float>();
        const std::int64_t cells = w.x * w.y * w.layers;
        if (tensors[first].size() != p.n * static_cast<std::size_t>(cells))
            fail(Code::contract, model + ": clause 'stack': the window of " + section + " has another size");
        for (std::int64_t k = 0; k < static_cast<std::int64_t>(p.n) * cells; ++k)
            if (deposit[k] != 0) of_window(k / cells, k % cells, deposit[k]);
        return;
    }
    const Tensor &rows = tensors[first], &cells = tensors[first + 1], &deposits = tensors[first + 2];
    expect(rows, DataType::int64, model);
    expect(cells, whole ? DataType::int32 : DataType::int64, model);
    expect(deposits, DataType::float32, model);
    const std::size_t n = rows.size();
    if (deposits.size() != n || cells.size() != (whole ? 3 : 1) * n)
        fail(Code::contract, model + ": clause 'sections': the lists of " + section + " differ in length");
    for (std::size_t k = 0; k < n; ++k) {
        const std::int64_t row = rows.as<std::int64_t>()[k];
        const float deposit = deposits.as<float>()[k];
        if (whole) {
            const std::int32_t* cell = cells.as<std::int32_t>() + 3 * k;
            put({row, cell[0], cell[1], cell[2], deposit});
        } else {
            of_window(row, cells.as<std::int64_t>()[k], deposit);
        }
    }
}

}  // namespace fastcalo::core
