package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Tensor is an n-dimensional array in row-major order. After a request has been checked, Floats
// holds the values of every datatype but BYTES, and Strings those of BYTES. INT64 and UINT64
// beyond ±2⁵³ are refused rather than rounded. A null is NaN, for floating-point tensors only.
type Tensor struct {
	Name       string
	Datatype   string
	Shape      []int64
	Parameters map[string]any
	Floats     []float64
	Strings    []string

	data json.RawMessage
}

type tensorJSON struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      []int64         `json:"shape"`
	Parameters map[string]any  `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data"`
}

// UnmarshalJSON reads a tensor; its data is checked later, when the limits are known.
func (t *Tensor) UnmarshalJSON(b []byte) error {
	var j tensorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*t = Tensor{Name: j.Name, Datatype: j.Datatype, Shape: j.Shape, Parameters: j.Parameters, data: j.Data}
	return nil
}

// MarshalJSON writes flat data. NaN and infinities become null, which JSON has instead.
func (t Tensor) MarshalJSON() ([]byte, error) {
	j := tensorJSON{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Parameters: t.Parameters}
	if t.Datatype == "BYTES" {
		text, err := json.Marshal(t.Strings)
		if err != nil {
			return nil, err
		}
		j.Data = text
		return json.Marshal(j)
	}
	buf := []byte{'['}
	for i, v := range t.Floats {
		if i > 0 {
			buf = append(buf, ',')
		}
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			buf = append(buf, "null"...)
		case t.Datatype == "BOOL":
			buf = strconv.AppendBool(buf, v != 0)
		case t.Datatype == "FP32":
			buf = strconv.AppendFloat(buf, v, 'g', -1, 32)
		default:
			buf = strconv.AppendFloat(buf, v, 'g', -1, 64)
		}
	}
	j.Data = append(buf, ']')
	return json.Marshal(j)
}

// integerRange is the range of an integer datatype that a float64 holds exactly.
var integerRange = map[string][2]float64{
	"UINT8": {0, math.MaxUint8}, "UINT16": {0, math.MaxUint16}, "UINT32": {0, math.MaxUint32}, "UINT64": {0, 1 << 53},
	"INT8": {math.MinInt8, math.MaxInt8}, "INT16": {math.MinInt16, math.MaxInt16}, "INT32": {math.MinInt32, math.MaxInt32}, "INT64": {-(1 << 53), 1 << 53},
}

const maxDims = 8

// check reads the data and holds it against datatype and shape.
func (t *Tensor) check(limit int64) error {
	switch _, integer := integerRange[t.Datatype]; {
	case integer, t.Datatype == "BOOL", t.Datatype == "FP32", t.Datatype == "FP64", t.Datatype == "BYTES":
	default:
		return fmt.Errorf("datatype %q: must be BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP32, FP64 or BYTES", t.Datatype)
	}
	if len(t.Shape) == 0 || len(t.Shape) > maxDims {
		return fmt.Errorf("shape %v: must have 1 to %d dimensions", t.Shape, maxDims)
	}
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || (d > 0 && n > limit/d) {
			return fmt.Errorf("shape %v: must be dimensions of 0 or more, at most %d values in all", t.Shape, limit)
		}
		n *= d
	}
	if len(t.data) == 0 {
		return errors.New("data is missing (binary tensor data is not served)")
	}
	r := dataReader{t: t, d: json.NewDecoder(bytes.NewReader(t.data)), want: n}
	r.d.UseNumber()
	if err := r.read(); err != nil {
		return err
	}
	t.data = nil
	if got := int64(len(t.Floats) + len(t.Strings)); got != n {
		return fmt.Errorf("data has %d values, shape %v needs %d", got, t.Shape, n)
	}
	return nil
}

// dataReader reads flat or nested arrays.
type dataReader struct {
	t    *Tensor
	d    *json.Decoder
	want int64
}

func (r *dataReader) read() error {
	depth, nested := 0, 0
	counts := make([]int64, maxDims+2)
	for {
		tok, err := r.d.Token()
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		switch v := tok.(type) {
		case json.Delim:
			switch v {
			case '[':
				if depth > 0 {
					counts[depth]++
				}
				if depth++; depth > maxDims {
					return fmt.Errorf("data is nested deeper than %d", maxDims)
				}
				counts[depth] = 0
			case ']':
				// Nested data has the shape's sizes at every level; flat data has one level.
				if nested > 1 && (nested != len(r.t.Shape) || counts[depth] != r.t.Shape[depth-1]) {
					return fmt.Errorf("data is nested %d deep with %d elements at level %d, shape is %v: nest it as the shape says, or send it flat", nested, counts[depth], depth, r.t.Shape)
				}
				if depth--; depth == 0 {
					return nil
				}
			default:
				return errors.New("data must be an array of values, not an object")
			}
			continue
		case nil:
			err = r.number(math.NaN(), true)
		case bool:
			if r.t.Datatype != "BOOL" {
				return fmt.Errorf("data holds %v, datatype is %s", v, r.t.Datatype)
			}
			f := 0.0
			if v {
				f = 1
			}
			r.t.Floats = append(r.t.Floats, f)
		case string:
			if r.t.Datatype != "BYTES" {
				return fmt.Errorf("data holds the string %.40q, datatype is %s", v, r.t.Datatype)
			}
			r.t.Strings = append(r.t.Strings, v)
		case json.Number:
			f, perr := strconv.ParseFloat(v.String(), 64)
			if perr != nil {
				return fmt.Errorf("data holds %.40s, outside of float64", v.String())
			}
			err = r.number(f, false)
		}
		if err != nil {
			return err
		}
		if depth == 0 {
			return errors.New("data must be an array")
		}
		if nested == 0 {
			nested = depth
		}
		if depth != nested {
			return errors.New("data is nested unevenly")
		}
		counts[depth]++
		if int64(len(r.t.Floats)+len(r.t.Strings)) > r.want {
			return fmt.Errorf("data has more than the %d values that shape %v needs", r.want, r.t.Shape)
		}
	}
}

func (r *dataReader) number(f float64, null bool) error {
	t := r.t
	limits, integer := integerRange[t.Datatype]
	switch {
	case t.Datatype == "BYTES" || t.Datatype == "BOOL" || (null && integer):
		return fmt.Errorf("data holds a number or null, datatype is %s", t.Datatype)
	case integer && (f != math.Trunc(f) || f < limits[0] || f > limits[1]):
		return fmt.Errorf("data holds %v, datatype %s takes whole numbers from %.0f to %.0f", f, t.Datatype, limits[0], limits[1])
	case t.Datatype == "FP32":
		if math.Abs(f) > math.MaxFloat32 {
			return fmt.Errorf("data holds %v, outside of FP32", f)
		}
		f = float64(float32(f))
	}
	t.Floats = append(t.Floats, f)
	return nil
}

// Batch returns how many rows the tensor holds when its first dimension is the batch.
func (t *Tensor) Batch() int64 {
	if len(t.Shape) == 0 {
		return 0
	}
	return t.Shape[0]
}
