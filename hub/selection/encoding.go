package selection

import (
	"fmt"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/fitting"
)

// maxClassEncodings is how many classes there may be for each to get a column of its share in a
// category.
const maxClassEncodings = 8

// design is a pipeline and which of its columns are encodings of categories, to be fitted to the
// rows that a model learns from.
type design struct {
	pipe      *feature.Pipeline
	encodings []encoding
}

// encoding is a column with a table: the target's mean in each category, or the category's
// frequency.
type encoding struct {
	column int
	target bool
	class  int // of a classification: the mean is that of being this class
}

// encodings adds the columns of an input that has more categories than get a column each; where
// all have one, encodings add no information. Their tables are fitted later, see design.encode.
func (g *generator) encodings(i int) {
	in := &g.p.Inputs[i]
	if n := len(in.Categories); n <= maxOneHot || n > feature.MaxTable {
		return
	}
	add := func(name string, e encoding) {
		e.column = len(g.cols)
		if g.add(feature.Column{
			Name:   name,
			Op:     feature.OpTable,
			Series: i,
			Table:  []float64{0},
		}); len(g.cols) > e.column {
			g.encoded = append(g.encoded, e)
		}
	}
	switch classes := g.p.Classes; {
	case g.p.Kind != artifact.KindClassification:
		add(in.Name+"_target", encoding{target: true})
	case len(classes) == 2:
		add(in.Name+"_target", encoding{target: true, class: 1})
	case len(classes) <= maxClassEncodings:
		for k, name := range classes {
			add(fmt.Sprintf("%s_target_%s", in.Name, name), encoding{target: true, class: k})
		}
	}
	add(in.Name+"_frequency", encoding{})
}

// encode fits the tables to rows[:train] and writes the encoded columns of all rows into x; it
// returns the design with the tables.
//
// A row that is learned from must not find its own target in its encoding, and a row that is
// predicted must find what a device would: its category's entry in a table that was made before
// the row came. So rows[:train] get encodings made from other parts of rows[:train], and the rest
// are looked up in the table made from all of rows[:train]. As rows are in order of time, no
// target of a row behind train enters anything. The price is that x is right for one train at a
// time, see table.learnFrom. Where rows stand for themselves the parts are dealt by chance;
// otherwise they are runs of neighbours, whose targets overlap.
func (d *design) encode(p *Problem, x []float64, rows []place, train int) (*design, error) {
	if len(d.encodings) == 0 {
		return d, nil
	}
	pipe := *d.pipe
	pipe.Columns = slices.Clone(pipe.Columns)
	width := pipe.Width()
	// The tables alone, for the very code that devices run.
	look := &feature.Pipeline{Inputs: pipe.Inputs, Rows: 1}
	own := make([][]float64, len(d.encodings))
	codes, y := make([]float64, train), make([]float64, train)
	for k, e := range d.encodings {
		c := &pipe.Columns[e.column]
		for i, r := range rows[:train] {
			codes[i] = p.Devices[r.device].Values[r.row][c.Series]
			if y[i] = r.y; p.Kind == artifact.KindClassification {
				y[i] = 0
				if int(r.y) == e.class {
					y[i] = 1
				}
			}
		}
		*c, own[k] = e.fit(c, len(p.Inputs[c.Series].Categories), codes, y, fitting.TargetOptions{
			Blocks: !p.Independent,
			Seed:   p.Seed,
		})
		look.Columns = append(look.Columns, *c)
	}
	eval, err := feature.NewEvaluator(look)
	if err != nil {
		return nil, err
	}
	h, out := feature.NewHistory(len(p.Inputs), 1), make([]float64, len(d.encodings))
	for i, r := range rows {
		h.Push(0, p.Devices[r.device].Values[r.row])
		if err := eval.Into(out, h); err != nil {
			return nil, err
		}
		for k, e := range d.encodings {
			if x[i*width+e.column] = out[k]; own[k] != nil && i < train {
				x[i*width+e.column] = own[k][i]
			}
		}
	}
	return &design{pipe: &pipe, encodings: d.encodings}, nil
}

// fit returns the column with its table, and the encodings of the rows it was made from where
// they differ from the table's. Where nothing can be fitted, because the column is missing
// everywhere or the targets overflow, the column holds 0 for everything: a search does not end for
// it.
func (e encoding) fit(c *feature.Column, levels int, codes, y []float64, o fitting.TargetOptions) (feature.Column, []float64) {
	fitted, own, err := feature.Column{}, []float64(nil), error(nil)
	if e.target {
		fitted, own, err = fitting.Target(c.Name, c.Series, levels, codes, y, o)
	} else {
		fitted, err = fitting.Frequency(c.Name, c.Series, levels, codes)
	}
	if err != nil {
		zero := 0.0
		return feature.Column{
			Name:   c.Name,
			Op:     feature.OpTable,
			Series: c.Series,
			Table:  []float64{0},
			Impute: &zero,
		}, nil
	}
	return fitted, own
}
