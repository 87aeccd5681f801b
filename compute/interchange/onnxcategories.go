package interchange

import (
	"math"
	"slices"
)

// oneHot turns every column into one column per category.
func (e *onnxEval) oneHot(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	out := &onnxValue{elem: typeFloat}
	for _, c := range v.cols {
		var codes []float64
		switch {
		case c.kind == colText:
			a := n.attrs["cats_strings"]
			if a == nil || len(a.strings) == 0 {
				return nil, damaged("text without cats_strings")
			}
			var err error
			if codes, err = e.codes(c.input, a.strings); err != nil {
				return nil, err
			}
		case c.kind == colValue && !c.zero && c.center == 0 && c.scale == 1:
			a := n.attrs["cats_int64s"]
			if a == nil || len(a.ints) == 0 {
				return nil, damaged("numbers without cats_int64s")
			}
			for _, x := range a.ints {
				codes = append(codes, float64(x))
			}
		default:
			return nil, refused("categories of a column that was scaled before")
		}
		if len(out.cols)+len(codes) > maxFeatures*64 {
			return nil, refused("more than %d columns", maxFeatures*64)
		}
		for _, x := range codes {
			zero := 0.0
			if c.impute != nil && *c.impute == x {
				zero = 1
			}
			out.cols = append(out.cols, column{
				kind:     colOneHot,
				input:    c.input,
				category: x,
				impute:   &zero,
				scale:    1,
			})
		}
	}
	return out, nil
}

// labelEncoder turns text into whole numbers from 0 on: the input's codes are ordered so that
// they are these numbers.
func (e *onnxEval) labelEncoder(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	keys := n.attrs["keys_strings"]
	if keys == nil || len(keys.strings) == 0 || len(keys.strings) > maxCodes {
		return nil, refused("a LabelEncoder of other things than text (keys_strings), or of more than %d", maxCodes)
	}
	values, missing, elem := floatsOf(n, "values_floats"), math.NaN(), int64(typeFloat)
	if a := n.attrs["default_float"]; a != nil {
		missing = a.f
	}
	if a := n.attrs["values_int64s"]; a != nil {
		values, missing, elem = nil, -1, typeInt64
		for _, x := range a.ints {
			values = append(values, float64(x))
		}
		if d := n.attrs["default_int64"]; d != nil {
			missing = float64(d.i)
		}
	}
	if len(values) != len(keys.strings) {
		return nil, refused("a LabelEncoder with %d keys and %d numbers (values_int64s or values_floats)", len(keys.strings), len(values))
	}
	names := make([]string, len(values))
	taken := make([]bool, len(values))
	for i, x := range values {
		if !(x >= 0 && x < float64(len(values))) || x != math.Trunc(x) || taken[int(x)] {
			return nil, refused("a LabelEncoder that gives %.60q the number %v: numbers must be 0 to %d, each once", keys.strings[i], x, len(values)-1)
		}
		taken[int(x)] = true
		names[int(x)] = keys.strings[i]
	}
	out := &onnxValue{elem: elem}
	for _, c := range v.cols {
		if c.kind != colText {
			return nil, refused("a LabelEncoder on a column that is not text")
		}
		if in := &e.m.Inputs[c.input]; len(in.Categories) == 0 {
			in.Categories = names
		} else if !slices.Equal(in.Categories, names) {
			return nil, refused("input %q is encoded twice in different ways", in.Name)
		}
		k := column{kind: colValue, input: c.input, scale: 1}
		if !math.IsNaN(missing) {
			m := missing
			k.impute = &m
		}
		out.cols = append(out.cols, k)
	}
	return out, nil
}

// codes returns the positions of names among an input's categories, to which it adds those that
// are new.
func (e *onnxEval) codes(input int, names []string) ([]float64, error) {
	in := &e.m.Inputs[input]
	known := map[string]int{}
	for i, s := range in.Categories {
		known[s] = i
	}
	codes := make([]float64, len(names))
	for i, s := range names {
		k, ok := known[s]
		if !ok {
			if k = len(in.Categories); k >= maxCodes {
				return nil, refused("input %q has more than %d categories", in.Name, maxCodes)
			}
			known[s] = k
			in.Categories = append(in.Categories, s)
		}
		codes[i] = float64(k)
	}
	return codes, nil
}
