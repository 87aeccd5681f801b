package mondrian

import (
	"math"

	"skerry.dev/compute/online/internal/target"
	"skerry.dev/compute/state"
)

// A node takes 8 numbers and its box and outcomes.
func (t *tree) save(w *state.Writer) {
	w.Int(int64(t.limit))
	w.Int(int64(t.n))
	for i := range t.n {
		n := t.at(i)
		w.Int(int64(n.parent)<<32 | int64(uint32(n.feature)))
		w.Int(int64(n.left)<<32 | int64(uint32(n.right)))
		for _, v := range [...]float64{n.threshold, n.time, n.n, n.weight, n.tree} {
			w.Float(v)
		}
		low, high, out := t.numbers(i)
		for _, s := range [...][]float64{low, high, out} {
			for _, v := range s {
				w.Float(v)
			}
		}
	}
}

// Load implements online.Learner.
func (f *forest) Load(r *state.Reader) {
	r.PCG(f.rng)
	r.FloatsInto(f.low)
	r.FloatsInto(f.high)
	f.n, f.squares = r.Float(), r.Float()
	f.guard.Load(r)
	for k := range f.guards {
		f.guards[k].Load(r)
	}
	if !(f.n >= 0 && f.squares >= 0 && f.n <= math.MaxFloat64 && f.squares <= math.MaxFloat64) {
		r.Fail()
	}
	for k := range f.low {
		if !inBox(f.low[k], f.high[k]) {
			r.Fail()
		}
	}
	for i := range f.trees {
		if r.Err() == nil {
			f.trees[i].load(r)
		}
	}
	if r.Err() == nil {
		return
	}
	f.n, f.squares = 0, 0 // what was read is of no use
	for k := range f.low {
		f.guards[k] = target.Guard{}
		f.low[k], f.high[k] = math.Inf(1), math.Inf(-1)
	}
	for i := range f.trees {
		t := &f.trees[i]
		t.pages, t.n = nil, 0
		t.newNode(-1, 0)
	}
}

// inBox reports whether two numbers are a range or the empty range.
func inBox(low, high float64) bool {
	return low <= high && low >= -maxMagnitude && high <= maxMagnitude || math.IsInf(low, 1) && math.IsInf(high, -1)
}

func (t *tree) load(r *state.Reader) {
	limit := r.Int()
	n := r.Len(8 * (7 + t.f.stride))
	if limit < 1 || limit > int64(t.f.maxPages) || n == 0 || int64(n) > limit*pageNodes {
		r.Fail()
		return
	}
	t.limit = int(limit)
	t.pages, t.n = nil, 0
	for range n {
		i := t.newNode(0, 0)
		a, b := uint64(r.Int()), uint64(r.Int())
		nd := t.at(i)
		nd.parent, nd.feature, nd.left, nd.right = int32(a>>32), int32(a), int32(b>>32), int32(b)
		for _, v := range [...]*float64{&nd.threshold, &nd.time, &nd.n, &nd.weight, &nd.tree} {
			*v = r.Float()
			if !(math.Abs(*v) <= 1e280) {
				r.Fail()
			}
		}
		low, high, out := t.numbers(i)
		for _, s := range [...][]float64{low, high, out} {
			for k := range s {
				s[k] = r.Float()
			}
		}
		t.check(r, nd, low, high, out)
		if r.Err() != nil {
			return
		}
	}
	if !t.linked() {
		r.Fail()
	}
}

// check reports what no node can hold.
func (t *tree) check(r *state.Reader, n *node, low, high, out []float64) {
	ok := n.feature >= 0 && int(n.feature) < t.f.d && n.n >= 0 && n.time >= 0
	for k := range low {
		ok = ok && inBox(low[k], high[k])
	}
	for _, v := range out {
		ok = ok && math.Abs(v) <= maxMagnitude && (v >= 0 || t.f.classes == 0)
	}
	if !ok {
		r.Fail()
	}
}

// linked reports whether the nodes are one tree: every node but the root is a child of its
// parent, and all are met on the way through.
func (t *tree) linked() bool {
	if t.at(0).parent != -1 {
		return false
	}
	met, i, from := int32(1), int32(0), int32(-1)
	for i >= 0 {
		n := t.at(i)
		next := n.parent
		if n.left != 0 || n.right != 0 {
			if n.left <= 0 || n.right <= 0 || n.left >= t.n || n.right >= t.n || n.left == n.right || t.at(n.left).parent != i || t.at(n.right).parent != i {
				return false
			}
			switch from {
			case n.parent:
				next = n.left
				met++
			case n.left:
				next = n.right
				met++
			}
		}
		from, i = i, next
		if met > t.n {
			return false
		}
	}
	return met == t.n
}
