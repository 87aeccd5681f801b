package selection

import (
	"reflect"
	"testing"

	"skerry.dev/compute/feature"
)

// TestPickKeepsReferences drops columns between those that others refer to: references follow
// their columns, what a kept one is made of stays, and the old design is not touched.
func TestPickKeepsReferences(t *testing.T) {
	number := func(i int) []feature.Token {
		return []feature.Token{{Do: feature.TokenColumn, I: i}, {Do: feature.TokenSeries, I: 1}, {Do: feature.TokenAdd}}
	}
	pipe := &feature.Pipeline{Inputs: make([]feature.Input, 2), Rows: 1, Columns: []feature.Column{
		{Name: "own", Op: feature.OpValue}, {Name: "b", Op: feature.OpValue, Series: 1}, {Name: "c", Op: feature.OpMissing}, {Name: "t", Op: feature.OpTable, Table: []float64{1}},
		{Name: "place", Op: feature.OpPlace, Of: 2, Table: []float64{0, 1}}, {Name: "cross", Op: feature.OpCross, Of: 4, By: 3}, {Name: "expr", Op: feature.OpExpr, Expr: number(5)}, {Name: "f", Op: feature.OpTable, Table: []float64{1}},
	}}
	d := &design{pipe: pipe, encodings: []encoding{{column: 3, target: true}, {column: 7}}}
	got := d.pick([]int{0, 6})
	want := []feature.Column{
		{Name: "own", Op: feature.OpValue}, {Name: "c", Op: feature.OpMissing}, {Name: "t", Op: feature.OpTable, Table: []float64{1}},
		{Name: "place", Op: feature.OpPlace, Of: 1, Table: []float64{0, 1}}, {Name: "cross", Op: feature.OpCross, Of: 3, By: 2}, {Name: "expr", Op: feature.OpExpr, Expr: number(4)},
	}
	if !reflect.DeepEqual(got.pipe.Columns, want) {
		t.Errorf("columns %+v, want %+v", got.pipe.Columns, want)
	}
	if !reflect.DeepEqual(got.encodings, []encoding{{column: 2, target: true}}) {
		t.Errorf("encodings %+v, want the one that is left, at 2", got.encodings)
	}
	if err := got.pipe.Check(); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(pipe.Columns[6].Expr, number(5)) || pipe.Columns[5].Of != 4 {
		t.Error("the old columns were changed")
	}
}

// TestLookback holds that every column gets the rows it needs, and that the pipeline then passes
// its check.
func TestLookback(t *testing.T) {
	const d = hourUS
	for _, tt := range []struct {
		c    feature.Column
		want int
	}{
		{feature.Column{Op: feature.OpValue}, 4},
		{feature.Column{Op: feature.OpLag, Lag: 24 * d}, 28},
		{feature.Column{Op: feature.OpLag, Rows: 24}, 25},
		{feature.Column{Op: feature.OpDiff2, Lag: 24 * d}, 52},
		{feature.Column{Op: feature.OpDiff2, Rows: 24}, 49},
		{feature.Column{Op: feature.OpMean, Window: 6 * d}, 10},
		{feature.Column{Op: feature.OpStuck, Rows: 12}, 13},
		{feature.Column{Op: feature.OpMedian, Rows: 1000}, feature.MaxLookback},
		{feature.Column{Op: feature.OpEWMean, HalfLife: 3 * d}, 34},
		{feature.Column{Op: feature.OpEWMean, HalfLife: 3 * d, Window: 12 * d}, 16},
		{feature.Column{Op: feature.OpEWStd, HalfLife: 1 << 62}, feature.MaxLookback},
		{feature.Column{Op: feature.OpSince}, feature.MaxLookback},
		{feature.Column{Op: feature.OpLast, Rows: 9}, 10},
	} {
		p := &feature.Pipeline{Inputs: make([]feature.Input, 1), Columns: []feature.Column{tt.c}}
		if p.Rows = lookback(p, d); p.Rows != tt.want {
			t.Errorf("%+v looks back %d rows, want %d", tt.c, p.Rows, tt.want)
		}
		if err := p.Check(); err != nil && tt.c.Rows <= feature.MaxLookback {
			t.Error(err)
		}
	}
}
