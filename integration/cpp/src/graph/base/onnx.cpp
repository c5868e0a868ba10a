// SPDX-License-Identifier: BSD-3-Clause
// Reader of ONNX files: the few fields of Protocol Buffers that graphs of ours use, every length checked.
//
// Layout of records: "Encoding", protobuf.dev; numbers of fields: onnx.proto.
#include "graph/base/onnx.hpp"

#include <cstring>

namespace fastcalo::graph::onnx {
namespace {

constexpr int kDeepestGraph = 6;
constexpr std::size_t kMostNodes = 100000;

struct Bytes {
    const std::uint8_t* p = nullptr;
    std::size_t n = 0;
};

// One record: number of the field, and its value, as a number or as bytes.
struct Record {
    std::uint64_t field = 0;
    unsigned wire = 0;
    std::uint64_t number = 0;
    Bytes bytes;

    std::string text() const { return {reinterpret_cast<const char*>(need_bytes().p), bytes.n}; }
    std::int64_t integer() const {
        if (wire != 0) fail();
        return static_cast<std::int64_t>(number);
    }
    float real() const {
        if (wire != 5) fail();
        float f;
        const auto low = static_cast<std::uint32_t>(number);
        std::memcpy(&f, &low, sizeof f);
        return f;
    }
    const Bytes& need_bytes() const {
        if (wire != 2) fail();
        return bytes;
    }
    [[noreturn]] static void fail() { throw Error("not an ONNX model, or damaged: a field has the wrong type"); }
};

// The records of a message, one after the other.
class Records {
  public:
    explicit Records(Bytes message) : at_(message.p), end_(message.p + message.n) {}

    bool next(Record& r) {
        if (at_ == end_) return false;
        const std::uint64_t tag = varint();
        r = Record{};
        r.field = tag >> 3;
        r.wire = static_cast<unsigned>(tag & 7);
        if (r.wire == 0)
            r.number = varint();
        else if (r.wire == 1)
            r.number = fixed(8);
        else if (r.wire == 5)
            r.number = fixed(4);
        else if (r.wire == 2)
            r.bytes = take(varint());
        else
            throw Error("not an ONNX model, or damaged: a record of unknown kind");
        return true;
    }
    std::uint64_t varint() {
        std::uint64_t number = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at_ == end_) break;
            const std::uint8_t byte = *at_++;
            if (shift < 64) number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80) return number;
        }
        throw Error("not an ONNX model, or damaged: a number without an end");
    }
    bool done() const { return at_ == end_; }

  private:
    Bytes take(std::uint64_t n) {
        if (n > static_cast<std::uint64_t>(end_ - at_)) throw Error("not an ONNX model, or cut short");
        const Bytes b{at_, static_cast<std::size_t>(n)};
        at_ += n;
        return b;
    }
    std::uint64_t fixed(std::size_t n) {
        const Bytes b = take(n);
        std::uint64_t number = 0;
        for (std::size_t k = 0; k < n; ++k) number |= static_cast<std::uint64_t>(b.p[k]) << 8 * k;
        return number;
    }
    const std::uint8_t *at_, *end_;
};

// A repeated number, packed or one record each.
void add_integers(const Record& r, std::vector<std::int64_t>& to) {
    if (r.wire == 0) {
        to.push_back(r.integer());
        return;
    }
    Records packed(r.need_bytes());
    while (!packed.done()) to.push_back(static_cast<std::int64_t>(packed.varint()));
}

void add_reals(const Record& r, std::vector<float>& to) {
    if (r.wire == 5) {
        to.push_back(r.real());
        return;
    }
    const Bytes& b = r.need_bytes();
    if (b.n % 4) Record::fail();
    const std::size_t at = to.size();
    to.resize(at + b.n / 4);
    if (b.n) std::memcpy(to.data() + at, b.p, b.n);
}

template <class T, class U>
void put(Constant& c, const std::vector<U>& values) {
    c.bytes.resize(values.size() * sizeof(T));
    for (std::size_t k = 0; k < values.size(); ++k) {
        const T value = static_cast<T>(values[k]);
        std::memcpy(c.bytes.data() + k * sizeof(T), &value, sizeof(T));
    }
}

Constant read_constant(Bytes message) {
    Constant c;
    std::vector<std::int64_t> dims, integers;
    std::vector<float> reals;
    std::int64_t type = 0;
    Bytes raw;
    bool has_raw = false;
    Records records(message);
    for (Record r; records.next(r);) {
        if (r.field == 1) add_integers(r, dims);
        if (r.field == 2) type = r.integer();
        if (r.field == 4) add_reals(r, reals);
        if (r.field == 5 || r.field == 7) add_integers(r, integers);
        if (r.field == 8) c.name = r.text();
        if (r.field == 9) raw = r.need_bytes(), has_raw = true;
        if (r.field == 13 || (r.field == 14 && r.integer() != 0))
            throw Error("tensor '" + c.name + "' is stored in another file, which is not supported");
    }
    c.type = type_of(type);
    c.shape = Shape::of(dims.data(), static_cast<std::int64_t>(dims.size()));
    const std::size_t want = static_cast<std::size_t>(c.shape.count()) * size_of(c.type);
    if (has_raw)
        c.bytes.assign(reinterpret_cast<const std::byte*>(raw.p), reinterpret_cast<const std::byte*>(raw.p) + raw.n);
    else if (c.type == Type::f32)
        put<float>(c, reals);
    else if (c.type == Type::i64)
        put<std::int64_t>(c, integers);
    else if (c.type == Type::i32)
        put<std::int32_t>(c, integers);
    else if (c.type == Type::i16)
        put<std::int16_t>(c, integers);
    else
        put<std::uint8_t>(c, integers);
    if (c.bytes.size() != want)
        throw Error("tensor '" + c.name + "' of shape " + c.shape.text() + " holds " + std::to_string(c.bytes.size()) +
                    " bytes, not " + std::to_string(want));
    if (c.type == Type::boolean)
        for (std::byte& b : c.bytes) b = std::byte{b != std::byte{0}};
    return c;
}

void read_shape(Bytes message, ValueInfo& v) {
    v.has_shape = true;
    Records records(message);
    for (Record r; records.next(r);) {
        if (r.field != 1) continue;
        std::int64_t length = -1;
        std::string name;
        Records fields(r.need_bytes());
        for (Record f; fields.next(f);) {
            if (f.field == 1) length = f.integer();
            if (f.field == 2) name = f.text();
        }
        if (length < -1 || length > kMaxElements || v.lengths.size() >= kMaxRank)
            throw Error("input or output '" + v.name + "' has an impossible shape");
        v.lengths.push_back(length);
        v.names.push_back(name);
    }
}

ValueInfo read_value_info(Bytes message) {
    ValueInfo v;
    Records records(message);
    for (Record r; records.next(r);) {
        if (r.field == 1) v.name = r.text();
        if (r.field != 2) continue;
        Records kinds(r.need_bytes());
        for (Record k; kinds.next(k);) {
            if (k.field != 1) continue;
            Records fields(k.need_bytes());
            for (Record f; fields.next(f);) {
                if (f.field == 1) v.type = type_of(f.integer());
                if (f.field == 2) read_shape(f.need_bytes(), v);
            }
        }
    }
    return v;
}

Graph read_graph(Bytes message, int depth, std::size_t& nodes);

Attribute read_attribute(Bytes message, int depth, std::size_t& nodes) {
    Attribute a;
    std::vector<float> reals;
    Records records(message);
    for (Record r; records.next(r);) {
        switch (r.field) {
            case 1:
                a.name = r.text();
                break;
            case 2:
                a.f = r.real();
                break;
            case 3:
                a.i = r.integer();
                break;
            case 4:
                a.s = r.text();
                break;
            case 5:
                a.tensor = read_constant(r.need_bytes());
                break;
            case 6:
                a.graph = std::make_unique<Graph>(read_graph(r.need_bytes(), depth + 1, nodes));
                break;
            case 8:
                add_integers(r, a.ints);
                break;
            case 20:
                a.type = static_cast<int>(r.integer());
                break;
            default:
                break;
        }
    }
    return a;
}

Node read_node(Bytes message, int depth, std::size_t& nodes) {
    Node n;
    Records records(message);
    for (Record r; records.next(r);) {
        if (r.field == 1) n.inputs.push_back(r.text());
        if (r.field == 2) n.outputs.push_back(r.text());
        if (r.field == 3) n.name = r.text();
        if (r.field == 4) n.op = r.text();
        if (r.field == 5) n.attributes.push_back(read_attribute(r.need_bytes(), depth, nodes));
        if (r.field == 7) n.domain = r.text();
    }
    return n;
}

Graph read_graph(Bytes message, int depth, std::size_t& nodes) {
    if (depth > kDeepestGraph) throw Error("graphs are nested too deeply");
    Graph g;
    Records records(message);
    for (Record r; records.next(r);) {
        if (r.field == 1) {
            if (++nodes > kMostNodes) throw Error("the graph has too many nodes");
            g.nodes.push_back(read_node(r.need_bytes(), depth, nodes));
        }
        if (r.field == 2) g.name = r.text();
        if (r.field == 5) g.initializers.push_back(read_constant(r.need_bytes()));
        if (r.field == 11) g.inputs.push_back(read_value_info(r.need_bytes()));
        if (r.field == 12) g.outputs.push_back(read_value_info(r.need_bytes()));
        if (r.field == 15) throw Error("sparse initializers are not supported");
    }
    return g;
}

}  // namespace

Model read(const void* bytes, std::size_t size) {
    Model m;
    std::size_t nodes = 0;
    bool has_graph = false;
    Records records(Bytes{static_cast<const std::uint8_t*>(bytes), size});
    for (Record r; records.next(r);) {
        if (r.field == 7) {
            m.graph = read_graph(r.need_bytes(), 0, nodes);
            has_graph = true;
        }
        if (r.field == 25) throw Error("functions in the model are not supported");
        if (r.field != 8 && r.field != 14) continue;
        std::string first, second;
        std::int64_t version = 0;
        Records fields(r.need_bytes());
        for (Record f; fields.next(f);) {
            if (f.field == 1) first = f.text();
            if (f.field == 2 && r.field == 14) second = f.text();
            if (f.field == 2 && r.field == 8) version = f.integer();
        }
        if (r.field == 14) m.metadata[first] = second;
        if (r.field == 8 && (first.empty() || first == "ai.onnx")) m.opset = version;
    }
    if (!has_graph) throw Error("not an ONNX model: it has no graph");
    return m;
}

}  // namespace fastcalo::graph::onnx
