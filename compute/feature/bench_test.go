package feature

import (
	"fmt"
	"testing"
)

// BenchmarkColumn computes one column over 256 rows, as many as there can be.
//
//	go test ./compute/feature -run '^$' -bench . -count 6
func BenchmarkColumn(b *testing.B) {
	s := newSensors(4)
	h := NewHistory(4, MaxLookback)
	for range MaxLookback {
		h.Push(s.next())
	}
	seen := map[Op]bool{}
	for _, c := range full().Columns {
		if seen[c.Op] {
			continue
		}
		seen[c.Op] = true
		p := full()
		takes, _ := c.Op.takes()
		if takes&(takesWindow|takesReach) != 0 {
			c.Window, c.Rows = 0, MaxLookback-1
		}
		c.Of, c.By = 0, 0
		for k := range c.Expr {
			if c.Expr[k].Do == TokenColumn {
				c.Expr[k].I = 0
			}
		}
		p.Rows, p.Columns = MaxLookback, []Column{p.Columns[0], c}
		e, err := NewEvaluator(p)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]float64, 2)
		b.Run(fmt.Sprintf("op=%s", c.Op), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = e.Into(dst, h)
			}
		})
	}
}

// BenchmarkPipeline computes the pipelines of the other tests: the ops of the first artifacts,
// and every op over 48 rows.
func BenchmarkPipeline(b *testing.B) {
	for name, p := range map[string]*Pipeline{"first": everything(), "full": full()} {
		e, err := NewEvaluator(p)
		if err != nil {
			b.Fatal(err)
		}
		s := newSensors(4)
		h := NewHistory(len(p.Inputs), MaxLookback)
		for range MaxLookback {
			at, row := s.next()
			h.Push(at, row[:len(p.Inputs)])
		}
		dst := make([]float64, p.Width())
		b.Run(fmt.Sprintf("pipeline=%s/columns=%d", name, p.Width()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = e.Into(dst, h)
			}
		})
	}
}
