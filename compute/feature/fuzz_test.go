package feature

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzPipeline reads hostile pipelines and evaluates what passes the check over hostile rows:
// nothing panics, every column is written, a result of the newer ops that is neither centred nor
// scaled is finite or missing, and the work is bounded.
//
//	go test ./compute/feature -run '^$' -fuzz FuzzPipeline -fuzztime 60s -fuzzminimizetime 100x
func FuzzPipeline(f *testing.F) {
	p, seen := full(), map[Op]bool{}
	for _, c := range p.Columns {
		if seen[c.Op] {
			continue
		}
		seen[c.Op] = true
		c.Of, c.By, c.Name = 0, 0, ""
		for k := range c.Expr {
			if c.Expr[k].Do == TokenColumn {
				c.Expr[k].I = 0
			}
		}
		small := *p
		small.Columns = []Column{{Op: OpValue}, c}
		js, err := json.Marshal(small)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(js, uint64(2))
	}
	f.Add([]byte(`{"inputs":[{"name":"x"}],"columns":[{"op":"expr","expr":[{"do":"series"},{"do":"log1p"}]},{"op":"cross"},{"op":"place","table":[0,1],"of":1}],"rows":1}`), uint64(3))
	// Check passes; there is no runtime here
	f.Add([]byte(`{"inputs":[{"name":"x"}],"columns":[{"op":"module","func":"f","args":[0],"rows":2}],"modules":[{"name":"m","code":"AGFzbQEAAAA="}],"rows":2}`), uint64(4))
	f.Fuzz(func(t *testing.T, js []byte, seed uint64) {
		var p Pipeline
		if json.Unmarshal(js, &p) != nil {
			return
		}
		e, err := NewEvaluator(&p)
		if err != nil {
			return
		}
		start := time.Now()
		h := NewHistory(len(p.Inputs), MaxLookback)
		row, dst := make([]float64, len(p.Inputs)), make([]float64, p.Width())
		rng := rand.New(rand.NewPCG(seed, 2))
		for range 300 {
			for i := range row {
				row[i] = math.Float64frombits(rng.Uint64() >> rng.IntN(8))
			}
			h.Push(int64(rng.Uint64()), row) // any time at all
		}
		for i := range dst {
			dst[i] = math.Inf(1)
		}
		for back := range 3 {
			if err := e.IntoAt(dst, h, back*100); err != nil {
				t.Fatal(err)
			}
		}
		for i, v := range dst {
			if c := &p.Columns[i]; math.IsInf(v, 0) && c.Center == 0 && c.Scale == 0 && !old(c.Op) {
				t.Errorf("column %d %q = %v", i, c.Op, v)
			}
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%d columns took %v", p.Width(), took)
		}
	})
}

// old reports whether an op hands infinite readings on.
func old(op Op) bool {
	switch op {
	case OpValue, OpLag, OpDiff, OpMean, OpStd, OpMin, OpMax:
		return true
	}
	return false
}
