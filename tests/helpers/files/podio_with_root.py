# SPDX-License-Identifier: BSD-3-Clause
"""Typed reading of EDM4hep files by ROOT itself, in the order in which podio's reader of RNTuples calls it.

The classes are declared to ROOT's interpreter as EDM4hep 1.1 and podio 1.7 define them. First the metadata as objects
of their classes, then for every category an entry that is bound to vectors of those classes, and loaded; then the
parameters. What comes out are flat columns, for numpy.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

DECLARED = r"""
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
namespace edm4hep {
struct Vector3f { float x{}, y{}, z{}; };
struct Vector3d { double x{}, y{}, z{}; };
class EventHeaderData { public:
  std::uint64_t eventNumber{}; std::uint32_t runNumber{}; std::uint64_t timeStamp{}; double weight{};
  unsigned int weights_begin{}, weights_end{};
};
class MCParticleData { public:
  std::int32_t PDG{}, generatorStatus{}, simulatorStatus{};
  float charge{}, time{};
  double mass{};
  edm4hep::Vector3d vertex{}, endpoint{}, momentum{}, momentumAtEndpoint{};
  std::int32_t helicity{9};
  unsigned int parents_begin{}, parents_end{}, daughters_begin{}, daughters_end{};
};
class CaloHitContributionData { public:
  std::int32_t PDG{}; float energy{}, time{}; edm4hep::Vector3f stepPosition{}; float stepLength{};
};
class SimCalorimeterHitData { public:
  std::uint64_t cellID{}; float energy{}; edm4hep::Vector3f position{};
  unsigned int contributions_begin{}, contributions_end{};
};
}
namespace podio {
class ObjectID { public: int index{-1}; std::uint32_t collectionID{static_cast<std::uint32_t>(-1)}; };
namespace root_utils {
struct CollectionWriteInfo {
  std::uint32_t collectionID{static_cast<std::uint32_t>(-1)}; std::string dataType{}; bool isSubset{false};
  unsigned int schemaVersion{0}; std::string name{}; std::string storageType{};
};
}
}
"""

READ = r"""
using Columns = std::map<std::string, std::vector<double>>;
using Whole = std::map<std::string, std::vector<std::uint64_t>>;
struct Found { Columns numbers; Whole whole; std::map<std::string, std::vector<std::string>> texts; };

struct Source {
  Found& found; std::string category;
  template <class T> void number(const std::string& n, T v) { found.numbers[category + "." + n].push_back(v); }
  template <class T> void integer(const std::string& n, T v) {
    found.whole[category + "." + n].push_back(static_cast<std::uint64_t>(static_cast<std::int64_t>(v)));
  }
  template <class V> void vector(const std::string& n, const V& v) {
    number(n + ".x", v.x); number(n + ".y", v.y); number(n + ".z", v.z);
  }
  void text(const std::string& n, const std::string& v) { found.texts[category + "." + n].push_back(v); }
  template <class D> void object(const std::string& n, const D& d);
};
template <> void Source::object(const std::string& n, const edm4hep::EventHeaderData& d) {
  found.whole[category + "." + n + ".eventNumber"].push_back(d.eventNumber);
  integer(n + ".runNumber", d.runNumber);
  found.whole[category + "." + n + ".timeStamp"].push_back(d.timeStamp);
  number(n + ".weight", d.weight);
  integer(n + ".weights_begin", d.weights_begin); integer(n + ".weights_end", d.weights_end);
}
template <> void Source::object(const std::string& n, const edm4hep::MCParticleData& d) {
  integer(n + ".PDG", d.PDG); integer(n + ".generatorStatus", d.generatorStatus);
  integer(n + ".simulatorStatus", d.simulatorStatus);
  number(n + ".charge", d.charge); number(n + ".time", d.time); number(n + ".mass", d.mass);
  vector(n + ".vertex", d.vertex); vector(n + ".endpoint", d.endpoint); vector(n + ".momentum", d.momentum);
  vector(n + ".momentumAtEndpoint", d.momentumAtEndpoint);
  integer(n + ".helicity", d.helicity);
  integer(n + ".parents_begin", d.parents_begin); integer(n + ".parents_end", d.parents_end);
  integer(n + ".daughters_begin", d.daughters_begin); integer(n + ".daughters_end", d.daughters_end);
}
template <> void Source::object(const std::string& n, const edm4hep::CaloHitContributionData& d) {
  integer(n + ".PDG", d.PDG); number(n + ".energy", d.energy); number(n + ".time", d.time);
  vector(n + ".stepPosition", d.stepPosition); number(n + ".stepLength", d.stepLength);
}
template <> void Source::object(const std::string& n, const edm4hep::SimCalorimeterHitData& d) {
  found.whole[category + "." + n + ".cellID"].push_back(d.cellID);
  number(n + ".energy", d.energy); vector(n + ".position", d.position);
  integer(n + ".contributions_begin", d.contributions_begin); integer(n + ".contributions_end", d.contributions_end);
}

struct Buffer { virtual ~Buffer() = default; virtual void take(Source& source, const std::string& name) = 0; };
template <class D> struct Objects : Buffer {
  std::vector<D>* data = new std::vector<D>;
  void take(Source& s, const std::string& n) override {
    s.integer(n + ".size", data->size());
    for (const auto& d : *data) s.object(n, d);
  }
};
struct Relations : Buffer {
  std::vector<podio::ObjectID>* data = new std::vector<podio::ObjectID>;
  void take(Source& s, const std::string& n) override {
    s.integer(n + ".size", data->size());
    for (const auto& d : *data) { s.integer(n + ".index", d.index); s.integer(n + ".collectionID", d.collectionID); }
  }
};
struct Numbers : Buffer {
  std::vector<double>* data = new std::vector<double>;
  void take(Source& s, const std::string& n) override {
    s.integer(n + ".size", data->size());
    for (auto d : *data) s.number(n, d);
  }
};

template <class D>
void bind(ROOT::REntry& entry, const std::string& name, std::map<std::string, std::unique_ptr<Buffer>>& to) {
  auto objects = std::make_unique<Objects<D>>();
  entry.BindRawPtr(name, static_cast<void*>(objects->data));
  to[name] = std::move(objects);
}
void relation(ROOT::REntry& entry, const std::string& name, std::map<std::string, std::unique_ptr<Buffer>>& to) {
  auto relations = std::make_unique<Relations>();
  entry.BindRawPtr(name, relations->data);
  to[name] = std::move(relations);
}

template <class T>
void parameters(ROOT::RNTupleReader& reader, unsigned i, const std::string& kind, Source& source) {
  auto keys = reader.GetView<std::vector<std::string>>("GP" + kind + "Keys");
  auto values = reader.GetView<std::vector<std::vector<T>>>("GP" + kind + "Values");
  const auto k = keys(i);
  const auto v = values(i);
  if (k.size() != v.size()) throw std::runtime_error("keys and values differ in number");
  for (std::size_t j = 0; j < k.size(); ++j)
    for (const auto& x : v[j]) {
      if constexpr (std::is_same_v<T, std::string>) source.text("GP." + k[j], x);
      else if constexpr (std::is_same_v<T, int>) source.integer("GP." + k[j], x);
      else source.number("GP." + k[j], x);
    }
}

Found read_podio(const std::string& path) {
  Found found;
  Source meta{found, "podio_metadata"};
  auto metadata = ROOT::RNTupleReader::Open("podio_metadata", path);
  const auto version = metadata->GetView<std::vector<std::uint16_t>>("PodioBuildVersion")(0);
  for (auto v : version) meta.integer("version", v);
  auto edm = metadata->GetView<std::vector<std::tuple<std::string, std::string>>>("EDMDefinitions")(0);
  for (const auto& [name, text] : edm) {
    meta.text("edm", name); meta.text("definition", text);
    const auto edmVersion = metadata->GetView<std::vector<std::uint16_t>>(name + "___Version")(0);
    for (auto v : edmVersion) meta.integer(name, v);
  }
  const auto categories = metadata->GetView<std::vector<std::string>>("availableCategories")(0);
  for (const auto& category : categories) {
    meta.text("category", category);
    ROOT::RNTupleDescriptor::RCreateModelOptions options;
    options.SetEmulateUnknownTypes(true);
    auto reader = ROOT::RNTupleReader::Open(options, category, path);
    auto info = metadata->GetView<std::vector<podio::root_utils::CollectionWriteInfo>>(
        category + "___CollectionTypeInfo")(0);
    Source source{found, category};
    source.integer("entries", reader->GetNEntries());
    for (const auto& c : info) {
      source.text("name", c.name); source.text("dataType", c.dataType); source.text("storageType", c.storageType);
      source.integer("collectionID", c.collectionID); source.integer("schemaVersion", c.schemaVersion);
      source.integer("isSubset", c.isSubset);
    }
    for (unsigned i = 0; i < reader->GetNEntries(); ++i) {
      std::map<std::string, std::unique_ptr<Buffer>> buffers;
      const auto entry = reader->GetModel().CreateEntry();
      for (const auto& c : info) {
        if (c.dataType == "edm4hep::EventHeaderCollection") {
          bind<edm4hep::EventHeaderData>(*entry, c.name, buffers);
          auto weights = std::make_unique<Numbers>();
          entry->BindRawPtr("_" + c.name + "_weights", static_cast<void*>(weights->data));
          buffers["_" + c.name + "_weights"] = std::move(weights);
        } else if (c.dataType == "edm4hep::MCParticleCollection") {
          bind<edm4hep::MCParticleData>(*entry, c.name, buffers);
          relation(*entry, "_" + c.name + "_parents", buffers);
          relation(*entry, "_" + c.name + "_daughters", buffers);
        } else if (c.dataType == "edm4hep::CaloHitContributionCollection") {
          bind<edm4hep::CaloHitContributionData>(*entry, c.name, buffers);
          relation(*entry, "_" + c.name + "_particle", buffers);
        } else if (c.dataType == "edm4hep::SimCalorimeterHitCollection") {
          bind<edm4hep::SimCalorimeterHitData>(*entry, c.name, buffers);
          relation(*entry, "_" + c.name + "_contributions", buffers);
        } else throw std::runtime_error("there are no buffers for " + c.dataType);
      }
      reader->LoadEntry(i, *entry);
      for (auto& [name, buffer] : buffers) buffer->take(source, name);
      parameters<int>(*reader, i, "Int", source);
      parameters<float>(*reader, i, "Float", source);
      parameters<double>(*reader, i, "Double", source);
      parameters<std::string>(*reader, i, "String", source);
    }
  }
  return found;
}
"""

SCRIPT = """
import sys, numpy as np, ROOT
from helpers.files.podio_with_root import DECLARED, READ
assert ROOT.gInterpreter.Declare(DECLARED + READ)
path, target = sys.argv[1:]
found = ROOT.read_podio(path)
columns = {}
for name, values in found.numbers: columns[str(name)] = np.array(values, np.float64)
for name, values in found.whole: columns[str(name)] = np.array(values, np.uint64).view(np.int64)
for name, values in found.texts: columns[str(name)] = np.array([str(v) for v in values])
np.savez(target, **columns)
"""


def read_with_root(path: Path, folder: Path) -> dict[str, np.ndarray]:
    """Columns of a podio file by category, collection and member, such as ``events.ECAL.cellID``.

    Values of all entries stand one after the other; ``.size`` has how many each entry has.
    """
    # in a process of its own: ROOT takes over signals, and changes how others import
    target = folder / "columns.npz"
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path), str(target)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(target) as columns:
        return dict(columns)
