package ensemble

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// shape describes what a random ensemble is like.
type shape struct {
	inputs, outputs, trees, splits int
	categories, vector, round32    bool
	coarse                         bool // few distinct thresholds, which inputs hit
	float32s                       bool // thresholds are float32
}

func (s shape) String() string {
	return fmt.Sprintf("inputs=%d outputs=%d trees=%d splits=%d categories=%v vector=%v round32=%v coarse=%v float32s=%v", s.inputs, s.outputs, s.trees, s.splits, s.categories, s.vector, s.round32, s.coarse, s.float32s)
}

// number draws a threshold or an input.
func (s shape) number(rng *rand.Rand) float64 {
	v := rng.NormFloat64()
	if s.coarse {
		v = math.Round(v*4) / 4
	}
	if rng.IntN(50) == 0 {
		v = []float64{0, math.Copysign(0, -1), 1e300, -1e300, 5e-324, -5e-324, math.MaxFloat32, -math.MaxFloat32, 1e-46, 3.4028236e38}[rng.IntN(10)]
	}
	if s.float32s {
		if v = float64(float32(v)); math.IsInf(v, 0) {
			v = 1
		}
	}
	return v
}

func (s shape) build(t testing.TB, rng *rand.Rand) *Ensemble {
	t.Helper()
	trees := make([]Tree, s.trees)
	for i := range trees {
		trees[i] = randomTree(rng, s.inputs, s.outputs, rng.IntN(s.splits+1), s.categories)
		for j := range trees[i] {
			trees[i][j].Threshold = s.number(rng)
		}
	}
	base := make([]float64, s.outputs)
	for k := range base {
		base[k] = rng.NormFloat64()
	}
	e, err := Build(Spec{Inputs: s.inputs, Base: base, Vector: s.vector, Round32: s.round32}, trees)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rough returns e with scores that have no grid.
func (s shape) rough(t testing.TB, e *Ensemble, rng *rand.Rand) *Ensemble {
	t.Helper()
	b, _ := e.AppendBinary(nil)
	e, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.values {
		e.values[i] = rng.NormFloat64()
	}
	for i := range e.nodes {
		if n := &e.nodes[i]; n.left == 0 && !e.vector {
			n.bits = math.Float64bits(rng.NormFloat64())
		}
	}
	for k := range e.base {
		e.base[k] = []float64{0.1, math.Copysign(0, -1)}[rng.IntN(2)]
	}
	return e
}

// rows draws inputs: numbers, thresholds and their neighbours, categories, missing values and
// infinities.
func (s shape) rows(rng *rand.Rand, e *Ensemble, n int) []float64 {
	x := make([]float64, n*s.inputs)
	for i := range x {
		switch rng.IntN(8) {
		case 0:
			x[i] = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, math.Copysign(0, -1), 255, 256}[rng.IntN(8)]
		case 1:
			x[i] = float64(rng.IntN(300) - 20)
		case 2, 3:
			if n := &e.nodes[rng.IntN(len(e.nodes))]; n.left != 0 {
				x[i] = math.Float64frombits(n.bits)
				if d := rng.IntN(3); d > 0 {
					x[i] = math.Nextafter(x[i], []float64{0, -1e309 / 10, 1e309 / 10}[d])
				}
			}
		default:
			x[i] = s.number(rng)
		}
	}
	return x
}

// sets are the instruction sets under test: what the processor has, and the contract itself for
// vectors of every width.
func sets() []*instructions {
	all := []*instructions{nil, contract(16), contract(32), contract(64)}
	for _, s := range vectorSets() {
		if s.has {
			all = append(all, s.instructions)
		}
	}
	return all
}

// TestKernelsAgree holds that every way to predict gives the bits of the plain walk, which
// TestPredictInto compares with the definition.
func TestKernelsAgree(t *testing.T) {
	ran := map[string]int{}
	seeds := uint64(120)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 11))
		s := shape{
			inputs: 1 + rng.IntN(70), outputs: 1 + rng.IntN(2)*rng.IntN(4), splits: []int{0, 3, 7, 15, 31, 63, 200}[rng.IntN(7)],
			categories: seed%3 == 0, vector: seed%7 == 0, round32: seed%2 == 0, coarse: seed%5 < 2, float32s: seed%4 == 1,
		}
		if seed%3 == 1 {
			s.inputs = 1 + rng.IntN(3) // many thresholds per feature
		}
		s.trees = s.outputs * (1 + rng.IntN(70))
		if seed%6 == 0 {
			s.categories = s.inputs < 8 // few enough sets for tree lanes
			s.trees = s.outputs * (1 + rng.IntN(8))
		}
		e := s.build(t, rng)
		if !e.exact() {
			t.Fatalf("%v: Build gave sums that are not exact", s)
		}
		if seed%8 == 3 {
			e = s.rough(t, e, rng) // as older versions encoded them
		}
		const most = 130
		x := s.rows(rng, e, most)
		want := make([]float64, most*s.outputs)
		for r := range most {
			e.plain(want[r*s.outputs:][:s.outputs], x[r*s.inputs:][:s.inputs])
		}
		got := make([]float64, len(want))
		for _, set := range sets() {
			p := compile(e, set)
			single, batch := p.methods()
			for _, m := range single {
				ran[p.name(m)]++
				for r := range most {
					p.row(m, got[r*s.outputs:][:s.outputs], x[r*s.inputs:][:s.inputs])
				}
				compare(t, s, p.name(m), got, want)
			}
			p.fewest = 0
			for _, p.batch = range batch {
				ran[p.name(p.batch)]++
				step := 1
				if p.batch == byWalk || strings.HasPrefix(p.name(p.batch), "contract") {
					step = 43
				}
				for n := 1; n <= most; n += step {
					clear(got)
					p.rows(got[:n*s.outputs], x[:n*s.inputs], n)
					compare(t, s, fmt.Sprintf("%s of %d rows", p.name(p.batch), n), got[:n*s.outputs], want)
				}
			}
		}
	}
	t.Logf("ensembles by method: %v", ran)
	if ran["portable-rows"] < 5 {
		t.Errorf("portable-rows was tried on %d ensembles", ran["portable-rows"])
	}
	for _, set := range sets()[1:] {
		for _, m := range []string{"-rows", "-trees"} {
			if ran[set.name+m] < 5 {
				t.Errorf("%s%s was tried on %d ensembles", set.name, m, ran[set.name+m])
			}
		}
	}
}

func compare(t *testing.T, s shape, method string, got, want []float64) {
	t.Helper()
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Fatalf("%v: %s: row %d output %d = %v, want %v", s, method, i/s.outputs, i%s.outputs, got[i], want[i])
		}
	}
}

// contract is the instructions of a set in plain Go, for vectors of so many bytes: what the
// assembly has to do, and proof of the layouts for widths that this processor lacks.
func contract(width int) *instructions {
	k := &instructions{name: fmt.Sprintf("contract%d", width), thresholds: 255, flip: flipRows, lanes: width, rank: rankGo, sum: sumGo}
	for _, rows := range []int{width, 2 * width, 4 * width} {
		if rows > blockRows {
			continue
		}
		k.passes = append(k.passes, pass{rows: rows, kill: func(blocks *byte, n int, entries, ranks, dead *byte) {
			next := 0
			for i := range n {
				b := (*rowBlock)(unsafe.Pointer(move(blocks, i*8)))
				for r := range rows {
					*move(dead, int(b.slot)+r) = 0
				}
				for range b.entries {
					en := (*rowEntry)(unsafe.Pointer(move(entries, next)))
					for r := range rows {
						if int8(en.threshold) > int8(*move(ranks, int(en.bin)+r)) {
							*move(dead, int(b.slot)+r) |= uint8(en.kill)
						}
					}
					next += int(unsafe.Sizeof(*en))
				}
			}
		}, fold: func(dead *byte, trees, blocks int, scores *float64, stride int, leaf *byte, sums *float64) {
			for t := range trees {
				for r := range rows {
					n := 0
					for n < 8*blocks && *move(dead, (t*blocks+n/8)*blockRows+r)>>(n%8)&1 == 1 {
						n++
					}
					*(*float64)(unsafe.Add(unsafe.Pointer(sums), 8*r)) += *(*float64)(unsafe.Add(unsafe.Pointer(scores), t*stride+8*n))
				}
			}
		}})
	}
	k.looks = []look{{256, func(counts *byte, groups int, entries, ranks, leaf *byte) {
		read, next := 0, 0
		count := func() int {
			n := *(*uint32)(unsafe.Pointer(move(counts, read)))
			read += 4
			return int(n)
		}
		for g := range groups {
			alive := make([]bool, width)
			for b := range count() {
				dead := make([]byte, width)
				for range count() {
					for lane := range width {
						if int8(*move(ranks, int(*move(entries, next+lane)))) > int8(*move(entries, next+width+lane)) {
							dead[lane] |= *move(entries, next+2*width+lane)
						}
					}
					next += 3 * width
				}
				for lane, d := range dead {
					for i := range 8 {
						if !alive[lane] && d>>i&1 == 0 {
							alive[lane] = true
							*move(leaf, g*width+lane) = byte(8*b + i)
						}
					}
				}
			}
		}
	}}}
	return k
}

func move(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

func TestPredictBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	s := shape{inputs: 5, outputs: 2, trees: 60, splits: 31}
	e := s.build(t, rng)
	for _, rows := range []int{0, 1, 127, 128, 129, 1000} {
		x := s.rows(rng, e, rows)
		got, want := make([]float64, 2*rows), make([]float64, 2*rows)
		for r := range rows {
			if err := e.PredictInto(want[2*r:2*r+2], x[5*r:5*r+5]); err != nil {
				t.Fatal(err)
			}
		}
		for _, threads := range []int{-1, 1, 2, 3, 16} {
			clear(got)
			if err := e.PredictBatch(got, x, threads); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("PredictBatch of %d rows on %d threads differs from PredictInto", rows, threads)
			}
		}
	}
	for _, lengths := range [][2]int{{2, 4}, {2, 10}, {3, 5}, {0, 5}} {
		if err := e.PredictBatch(make([]float64, lengths[0]), make([]float64, lengths[1]), 1); err != ErrShape {
			t.Errorf("PredictBatch of %v values = %v, want ErrShape", lengths, err)
		}
	}
	x, dst := s.rows(rng, e, 300), make([]float64, 600)
	if n := testing.AllocsPerRun(20, func() { _ = e.PredictBatch(dst, x, 1) }); n != 0 && !raced {
		t.Errorf("PredictBatch allocates %v times, want 0", n)
	}
}

// TestConcurrentFirstUse compiles under contention; the race detector is the judge.
func TestConcurrentFirstUse(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 3))
	s := shape{inputs: 5, outputs: 1, trees: 60, splits: 31}
	e := s.build(t, rng)
	x := s.rows(rng, e, 200)
	want := make([]float64, 200)
	for r := range want {
		e.plain(want[r:r+1], x[5*r:5*r+5])
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]float64, 200)
			for range 5 {
				_ = e.PredictBatch(got, x, 2)
				if !slices.Equal(got, want) {
					t.Error("a concurrent prediction differs")
				}
			}
		})
	}
	wg.Wait()
}

func TestChoose(t *testing.T) {
	has, lacks := vectorSet{&instructions{name: "has"}, true}, vectorSet{&instructions{name: "lacks"}, false}
	for _, c := range []struct {
		name   string
		sets   []vectorSet
		want   *instructions
		reason string
	}{
		{"", []vectorSet{lacks, has}, has.instructions, ""},
		{" AUTO ", []vectorSet{lacks, has}, has.instructions, ""},
		{"has", []vectorSet{lacks, has}, has.instructions, ""},
		{"portable", []vectorSet{has}, nil, ""},
		{"lacks", []vectorSet{lacks, has}, has.instructions, "does not have"},
		{"avx9", []vectorSet{lacks, has}, has.instructions, "not one of auto, portable, lacks, has"},
		{"", []vectorSet{lacks}, nil, ""},
		{"", nil, nil, ""},
	} {
		if got := choose(c.name, c.sets); got.set != c.want || (c.reason == "") != (got.reason == "") || !strings.Contains(got.reason, c.reason) {
			t.Errorf("choose(%q) = %v, %q; want %v, %q", c.name, got.set, got.reason, c.want, c.reason)
		}
	}
}

func TestSetCompile(t *testing.T) {
	defer SetCompile(true)
	rng := rand.New(rand.NewPCG(4, 5))
	e := shape{inputs: 5, outputs: 1, trees: 60, splits: 31}.build(t, rng)
	SetCompile(false)
	if k := e.KernelSingle() + e.KernelBatch(); k != "plainplain" {
		t.Errorf("kernels without compilation = %q, want plain", k)
	}
	x, dst := make([]float64, 5*40), make([]float64, 40)
	if n := testing.AllocsPerRun(20, func() { _ = e.PredictBatch(dst, x, 1) }); n != 0 && !raced {
		t.Errorf("PredictBatch without compilation allocates %v times, want 0", n)
	}
	SetCompile(true)
	if k := e.KernelBatch(); k == "plain" {
		t.Errorf("kernel of batches with compilation = %q", k)
	}
}
