package interchange

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of an ONNX graph. A message of two bytes takes a hundred in memory, so their number is
// bounded.
const (
	maxOnnxNodes   = 1 << 15
	maxOnnxAttrs   = 1 << 17
	maxOnnxStrings = 1 << 22
	maxOnnxList    = 1 << 24 // numbers in one list
	maxOnnxValues  = 1 << 14 // inputs, outputs and names per node
)

// The element types of tensors.
const (
	typeFloat  = 1
	typeInt32  = 6
	typeInt64  = 7
	typeString = 8
	typeBool   = 9
	typeDouble = 11
)

type onnxModel struct {
	producer, version string
	opsets            map[string]int64
	meta              map[string]string
	graph             *onnxGraph
}

type onnxGraph struct {
	nodes   []*onnxNode
	consts  map[string]*onnxTensor
	inputs  []onnxInfo
	outputs []onnxInfo
}

type onnxInfo struct {
	name string
	elem int64
	dims []int64 // -1 where unknown
	rank bool    // whether dims are given
}

type onnxNode struct {
	op, domain, name string
	in, out          []string
	attrs            map[string]*onnxAttr
}

// label names a node for errors.
func (n *onnxNode) label() string {
	if n.name != "" {
		return fmt.Sprintf("%s %.60q", n.op, n.name)
	}
	return fmt.Sprintf("%s with output %.60q", n.op, strings.Join(n.out[:min(len(n.out), 1)], ""))
}

type onnxAttr struct {
	name    string
	i       int64
	f       float64
	s       string
	t       *onnxTensor
	floats  []float64
	ints    []int64
	strings []string
}

// onnxTensor keeps its numbers as bytes until they are needed.
type onnxTensor struct {
	name     string
	dims     []int64
	elem     int64
	raw      []byte // little endian, when hasRaw
	hasRaw   bool
	floats   []float64
	ints     []int64
	strings  []string
	external bool
}

// protoReader counts what it makes, to bound memory.
type protoReader struct{ nodes, attrs, strings int }

// message calls each for every field of b: v holds the bytes of a length-delimited field, n the
// number of others.
func message(b []byte, what string, each func(num protowire.Number, kind protowire.Type, v []byte, n uint64) error) error {
	for len(b) > 0 {
		num, kind, k := protowire.ConsumeTag(b)
		if k < 0 {
			return damaged("%s: %w: the file is damaged or cut short, copy it again", what, protowire.ParseError(k))
		}
		b = b[k:]
		var v []byte
		var n uint64
		switch kind {
		case protowire.VarintType:
			n, k = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var x uint32
			x, k = protowire.ConsumeFixed32(b)
			n = uint64(x)
		case protowire.Fixed64Type:
			n, k = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v, k = protowire.ConsumeBytes(b)
		default:
			return damaged("%s: field %d has wire type %d, which no ONNX file has", what, num, kind)
		}
		if k < 0 {
			return damaged("%s: field %d: %w: the file is damaged or cut short, copy it again", what, num, protowire.ParseError(k))
		}
		b = b[k:]
		if err := each(num, kind, v, n); err != nil {
			return err
		}
	}
	return nil
}

// wants fails when a field that must hold bytes holds a number.
func wants(kind, want protowire.Type, what string) error {
	if kind != want {
		return damaged("%s has wire type %d, want %d: the file is damaged", what, kind, want)
	}
	return nil
}

func readONNX(b []byte) (*onnxModel, error) {
	m := &onnxModel{opsets: map[string]int64{}, meta: map[string]string{}}
	r := &protoReader{}
	err := message(b, "model", func(num protowire.Number, kind protowire.Type, v []byte, n uint64) error {
		switch num {
		case 2:
			m.producer = string(v[:min(len(v), 100)])
		case 3:
			m.version = string(v[:min(len(v), 100)])
		case 7:
			if err := wants(kind, protowire.BytesType, "graph"); err != nil {
				return err
			}
			if m.graph != nil {
				return damaged("model: a second graph")
			}
			var err error
			m.graph, err = r.graph(v)
			return err
		case 8:
			var domain string
			var version int64
			err := message(v, "opset_import", func(num protowire.Number, _ protowire.Type, v []byte, n uint64) error {
				switch num {
				case 1:
					domain = string(v)
				case 2:
					version = int64(n)
				}
				return nil
			})
			if len(m.opsets) < 64 {
				m.opsets[domain] = version
			}
			return err
		case 14:
			var key, value string
			err := message(v, "metadata_props", func(num protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
				switch num {
				case 1:
					key = string(v)
				case 2:
					value = string(v)
				}
				return nil
			})
			if len(m.meta) < 256 {
				m.meta[key] = value
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.graph == nil {
		return nil, damaged("the file has no graph: it is no ONNX model or cut short")
	}
	return m, nil
}

func (r *protoReader) graph(b []byte) (*onnxGraph, error) {
	g := &onnxGraph{consts: map[string]*onnxTensor{}}
	err := message(b, "graph", func(num protowire.Number, kind protowire.Type, v []byte, _ uint64) error {
		switch num {
		case 1, 5, 11, 12:
			if err := wants(kind, protowire.BytesType, "a part of the graph"); err != nil {
				return err
			}
		case 15:
			return refused("the graph has sparse initializers: convert the model with dense ones")
		}
		switch num {
		case 1:
			n, err := r.node(v)
			if err != nil {
				return err
			}
			g.nodes = append(g.nodes, n)
		case 5:
			t, err := r.tensor(v)
			if err != nil {
				return err
			}
			if g.consts[t.name] != nil {
				return damaged("a second initializer %.60q", t.name)
			}
			g.consts[t.name] = t
		case 11, 12:
			info, err := readInfo(v)
			if err != nil {
				return err
			}
			list := &g.inputs
			if num == 12 {
				list = &g.outputs
			}
			if *list = append(*list, info); len(*list) > maxOnnxValues {
				return damaged("the graph has more than %d inputs or outputs", maxOnnxValues)
			}
		}
		return nil
	})
	return g, err
}

func (r *protoReader) node(b []byte) (*onnxNode, error) {
	if r.nodes++; r.nodes > maxOnnxNodes {
		return nil, refused("the graph has more than %d nodes and initializers", maxOnnxNodes)
	}
	n := &onnxNode{}
	err := message(b, "node", func(num protowire.Number, kind protowire.Type, v []byte, _ uint64) error {
		switch num {
		case 1, 2:
			list := &n.in
			if num == 2 {
				list = &n.out
			}
			if *list = append(*list, string(v)); len(*list) > maxOnnxValues {
				return damaged("a node has more than %d inputs or outputs", maxOnnxValues)
			}
		case 3:
			n.name = string(v)
		case 4:
			n.op = string(v)
		case 7:
			n.domain = string(v)
		case 5:
			if err := wants(kind, protowire.BytesType, "an attribute"); err != nil {
				return err
			}
			a, err := r.attr(v)
			if err != nil {
				return err
			}
			if n.attrs[a.name] != nil {
				return damaged("a node has attribute %.60q twice", a.name)
			}
			if n.attrs == nil {
				n.attrs = map[string]*onnxAttr{}
			}
			n.attrs[a.name] = a
		}
		return nil
	})
	if n.domain == "ai.onnx" {
		n.domain = ""
	}
	return n, err
}

func (r *protoReader) attr(b []byte) (*onnxAttr, error) {
	if r.attrs++; r.attrs > maxOnnxAttrs {
		return nil, refused("the graph has more than %d attributes", maxOnnxAttrs)
	}
	a := &onnxAttr{}
	err := message(b, "attribute", func(num protowire.Number, kind protowire.Type, v []byte, n uint64) (err error) {
		switch num {
		case 1:
			a.name = string(v)
		case 2:
			a.f = float64(math.Float32frombits(uint32(n)))
		case 3:
			a.i = int64(n)
		case 4:
			a.s = string(v)
		case 5:
			a.t, err = r.tensor(v)
		case 7:
			a.floats, err = appendFloats(a.floats, kind, v, n)
		case 8:
			a.ints, err = appendInts(a.ints, kind, v, n)
		case 9:
			if r.strings++; r.strings > maxOnnxStrings {
				return refused("the graph has more than %d strings", maxOnnxStrings)
			}
			a.strings = append(a.strings, intern(v))
		case 6, 11:
			return refused("attribute %.60q holds a graph: operators with branches or loops are not computed here", a.name)
		}
		return err
	})
	return a, err
}

// intern saves the memory of the strings that stand once per tree node.
func intern(v []byte) string {
	switch string(v) {
	case "LEAF":
		return "LEAF"
	case "BRANCH_LEQ":
		return "BRANCH_LEQ"
	case "BRANCH_LT":
		return "BRANCH_LT"
	}
	return string(v)
}

// appendFloats takes float32 numbers, packed or one by one.
func appendFloats(dst []float64, kind protowire.Type, v []byte, n uint64) ([]float64, error) {
	if kind == protowire.Fixed32Type {
		return append(dst, float64(math.Float32frombits(uint32(n)))), nil
	}
	if len(v)/4 > maxOnnxList-len(dst) {
		return nil, refused("a list of more than %d numbers", maxOnnxList)
	}
	if kind != protowire.BytesType || len(v)%4 != 0 {
		return nil, damaged("a list of floats has %d bytes: the file is damaged", len(v))
	}
	if dst == nil {
		dst = make([]float64, 0, len(v)/4)
	}
	for ; len(v) > 0; v = v[4:] {
		dst = append(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))))
	}
	return dst, nil
}

// appendInts takes whole numbers, packed or one by one.
func appendInts(dst []int64, kind protowire.Type, v []byte, n uint64) ([]int64, error) {
	if kind == protowire.VarintType {
		return append(dst, int64(n)), nil
	}
	if kind != protowire.BytesType {
		return nil, damaged("a list of whole numbers has wire type %d: the file is damaged", kind)
	}
	for len(v) > 0 {
		n, k := protowire.ConsumeVarint(v)
		if k < 0 {
			return nil, damaged("a list of whole numbers: %w: the file is damaged", protowire.ParseError(k))
		}
		if len(dst) >= maxOnnxList {
			return nil, refused("a list of more than %d numbers", maxOnnxList)
		}
		dst, v = append(dst, int64(n)), v[k:]
	}
	return dst, nil
}

func (r *protoReader) tensor(b []byte) (*onnxTensor, error) {
	if r.nodes++; r.nodes > maxOnnxNodes {
		return nil, refused("the graph has more than %d nodes and initializers", maxOnnxNodes)
	}
	t := &onnxTensor{}
	err := message(b, "tensor", func(num protowire.Number, kind protowire.Type, v []byte, n uint64) (err error) {
		switch num {
		case 1:
			if t.dims, err = appendInts(t.dims, kind, v, n); len(t.dims) > 16 {
				return damaged("tensor %.60q has more than 16 dimensions", t.name)
			}
		case 2:
			t.elem = int64(n)
		case 4:
			t.floats, err = appendFloats(t.floats, kind, v, n)
		case 5, 7:
			t.ints, err = appendInts(t.ints, kind, v, n)
		case 6:
			if r.strings++; r.strings > maxOnnxStrings {
				return refused("the graph has more than %d strings", maxOnnxStrings)
			}
			t.strings = append(t.strings, string(v))
		case 8:
			t.name = string(v)
		case 9:
			t.raw, t.hasRaw = v, true
		case 10:
			if kind == protowire.Fixed64Type {
				t.floats = append(t.floats, math.Float64frombits(n))
				return nil
			}
			if len(v)%8 != 0 {
				return damaged("tensor %.60q: double_data has %d bytes", t.name, len(v))
			}
			for ; len(v) > 0; v = v[8:] {
				t.floats = append(t.floats, math.Float64frombits(binary.LittleEndian.Uint64(v)))
			}
		case 13:
			t.external = true
		case 14:
			t.external = t.external || n == 1
		}
		return err
	})
	return t, err
}

// size returns the number of elements that the dimensions require.
func (t *onnxTensor) size() (int, error) {
	n := int64(1)
	for _, d := range t.dims {
		if d < 0 || d > MaxBytes || n*max(d, 1) > MaxBytes {
			return 0, damaged("tensor %.60q has dimensions %v, at most %d elements are allowed", t.name, t.dims, MaxBytes)
		}
		n *= d
	}
	return int(n), nil
}

// numbers returns the elements as float64.
func (t *onnxTensor) numbers() ([]float64, error) {
	n, err := t.size()
	if err != nil {
		return nil, err
	}
	if t.external {
		return nil, refused("tensor %.60q lies in another file: save the model with all tensors inside", t.name)
	}
	if !t.hasRaw {
		v := t.floats
		if len(v) == 0 && len(t.ints) > 0 {
			if len(t.ints) != n {
				return nil, damaged("tensor %.60q has %d elements for dimensions %v", t.name, len(t.ints), t.dims)
			}
			v = make([]float64, n)
			for i, x := range t.ints {
				v[i] = float64(x)
			}
		}
		if len(v) != n {
			return nil, damaged("tensor %.60q has %d elements for dimensions %v", t.name, len(v), t.dims)
		}
		return v, nil
	}
	width := map[int64]int{typeFloat: 4, typeDouble: 8, typeInt32: 4, typeInt64: 8, typeBool: 1}[t.elem]
	if width == 0 {
		return nil, refused("tensor %.60q has elements of type %d, know float, double, int32, int64 and bool", t.name, t.elem)
	}
	if len(t.raw) != n*width {
		return nil, damaged("tensor %.60q has %d bytes for dimensions %v of %d bytes each", t.name, len(t.raw), t.dims, width)
	}
	v := make([]float64, n)
	for i := range v {
		p := t.raw[i*width:]
		switch t.elem {
		case typeFloat:
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(p)))
		case typeDouble:
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(p))
		case typeInt32:
			v[i] = float64(int32(binary.LittleEndian.Uint32(p)))
		case typeInt64:
			v[i] = float64(int64(binary.LittleEndian.Uint64(p)))
		default:
			v[i] = float64(p[0])
		}
	}
	return v, nil
}

// readInfo reads a value's name, element type and shape.
func readInfo(b []byte) (onnxInfo, error) {
	info := onnxInfo{}
	err := message(b, "value_info", func(num protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
		switch num {
		case 1:
			info.name = string(v)
		case 2:
			return message(v, "type", func(num protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
				if num != 1 {
					return nil // sequences and maps: the output of a ZipMap
				}
				return message(v, "tensor type", func(num protowire.Number, _ protowire.Type, v []byte, n uint64) error {
					switch num {
					case 1:
						info.elem = int64(n)
					case 2:
						info.rank = true
						return message(v, "shape", func(_ protowire.Number, _ protowire.Type, v []byte, _ uint64) error {
							d := int64(-1)
							err := message(v, "dimension", func(num protowire.Number, _ protowire.Type, _ []byte, n uint64) error {
								if num == 1 {
									d = int64(n)
								}
								return nil
							})
							if info.dims = append(info.dims, d); len(info.dims) > 16 {
								return damaged("value %.60q has more than 16 dimensions", info.name)
							}
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return info, err
}
