package inputs

import (
	"math"

	"skerry.dev/compute/state"
)

// Save and Load carry a watcher's rows over a restart, bit for bit, into a watcher of the same
// reference. Load of damaged bytes marks the reader as failed and leaves the watcher as it was.
func (w *Watcher) Save(s *state.Writer) {
	for _, v := range []int64{int64(w.block), int64(w.filled), int64(w.blocks), w.rows} {
		s.Int(v)
	}
	for _, n := range w.named {
		s.Bool(n)
	}
	s.Bool(w.joint)
	s.Int(int64(w.alone))
	for i := range w.ring {
		b := &w.ring[i]
		for _, c := range b.counts {
			s.Int(int64(c))
		}
		s.Floats(b.sums)
		s.Floats(b.joint)
	}
}

// Load restores what Save wrote.
func (w *Watcher) Load(r *state.Reader) {
	every := w.ref.opts.Every
	v := NewWatcher(w.ref)
	v.block, v.filled, v.blocks, v.rows = int(r.Int()), int(r.Int()), int(r.Int()), r.Int()
	ok := v.block >= 0 && v.block < len(v.ring) && v.filled >= 0 && v.filled < every && v.blocks >= 0 && v.blocks <= len(v.ring) && v.rows >= 0
	for i := range v.named {
		v.named[i] = r.Bool()
	}
	v.joint, v.alone = r.Bool(), int(r.Int())
	ok = ok && v.alone >= 0 && v.alone <= len(v.ring)+1
	for i := range v.ring {
		b := &v.ring[i]
		for k := range b.counts {
			c := r.Int()
			ok = ok && c >= 0 && c <= int64(every)
			b.counts[k] = int32(c)
		}
		r.FloatsInto(b.sums)
		r.FloatsInto(b.joint)
		for _, s := range b.sums {
			ok = ok && math.Abs(s) <= maxMagnitude*float64(every)
		}
		for _, s := range b.joint {
			ok = ok && math.Abs(s) <= float64(every)
		}
	}
	if !ok {
		r.Fail()
	}
	if r.Err() == nil {
		*w = *v
	}
}

const referenceVersion = 1

// Save writes the reference, so that the rows that it was made of need not be kept.
func (r *Reference) Save(s *state.Writer) {
	o := &r.opts
	for _, v := range []int64{referenceVersion, int64(o.Window), int64(o.Every), int64(o.Bins), int64(o.Test), int64(o.Functions), int64(o.Seed), int64(r.rows), int64(len(r.features))} {
		s.Int(v)
	}
	s.Float(o.FalseAlarms)
	for i := range r.features {
		m := &r.features[i]
		s.Floats(m.edges)
		s.Floats(m.upTo)
		for _, v := range []float64{m.rows, m.mean, m.sd, m.inflate, m.worst} {
			s.Float(v)
		}
		groups := make([]int64, len(m.group))
		for k, g := range m.group {
			groups[k] = int64(g)
		}
		s.Ints(groups)
	}
	s.Bool(r.joint != nil)
	if j := r.joint; j != nil {
		s.Floats(j.mean)
		s.Floats(j.sd)
		for _, v := range []float64{j.shift, j.scale, j.nu, j.inflate, j.worst, j.worstOne} {
			s.Float(v)
		}
		for _, f := range j.functions {
			s.Bool(f.product)
			s.Int(int64(f.n))
			s.Float(f.start)
			for k := range f.n {
				s.Int(int64(f.feature[k]))
				s.Float(f.weight[k])
			}
		}
	}
}

// LoadReference reads what Save wrote. Damaged bytes mark the reader as failed, and the reference
// is nil.
func LoadReference(r *state.Reader) *Reference {
	version := r.Int()
	ref := &Reference{
		opts: Options{
			Window:    int(r.Int()),
			Every:     int(r.Int()),
			Bins:      int(r.Int()),
			Test:      Test(r.Int()),
			Functions: int(r.Int()),
			Seed:      uint64(r.Int()),
		},
		rows: int(r.Int()),
	}
	d := r.Len(8 * 9)
	ref.opts.FalseAlarms = r.Float()
	filled, err := ref.opts.withDefaults()
	if r.Err() != nil || version != referenceVersion || err != nil || filled != ref.opts || ref.rows < MinRows || d < 1 || d > MaxFeatures {
		r.Fail()
		return nil
	}
	ref.features = make([]marginal, d)
	for i := range ref.features {
		if !ref.features[i].load(r) {
			r.Fail()
			return nil
		}
	}
	if r.Bool() {
		if ref.joint = loadJoint(r, d); ref.joint == nil {
			r.Fail()
		}
	}
	if r.Err() != nil {
		return nil
	}
	return ref
}

func (m *marginal) load(r *state.Reader) bool {
	m.edges, m.upTo = r.Floats(), r.Floats()
	m.rows, m.mean, m.sd, m.inflate, m.worst = r.Float(), r.Float(), r.Float(), r.Float(), r.Float()
	groups := r.Ints()
	bins := len(m.edges) + 2
	if r.Err() != nil || len(m.upTo) != bins || len(groups) != bins || bins > 2*maxBins+4 || !(m.rows >= 1 && m.rows <= 1<<53 && m.sd >= 0 && m.inflate >= 1 && m.worst >= 0) || !bounded(m.mean, m.sd, m.inflate, m.worst) {
		return false
	}
	for i, e := range m.edges {
		if !bounded(e) || i > 0 && e <= m.edges[i-1] {
			return false
		}
	}
	from := 0.0
	for _, u := range m.upTo {
		if !(u >= from && u <= 1) {
			return false
		}
		from = u
	}
	m.group = make([]int, bins)
	for k, g := range groups {
		if g < 0 || k == 0 && g != 0 || k > 0 && (g < groups[k-1] || g > groups[k-1]+1) {
			return false
		}
		m.group[k] = int(g)
	}
	m.groups = m.group[bins-1] + 1
	return true
}

func loadJoint(r *state.Reader, features int) *joint {
	j := &joint{
		mean:     r.Floats(),
		sd:       r.Floats(),
		shift:    r.Float(),
		scale:    r.Float(),
		nu:       r.Float(),
		inflate:  r.Float(),
		worst:    r.Float(),
		worstOne: r.Float(),
	}
	n := len(j.mean)
	if r.Err() != nil || n == 0 || n > maxFunctions || len(j.sd) != n || !(j.scale > 0 && j.nu > 0 && j.inflate >= 1 && j.worst >= 0 && j.worstOne >= 0) || !bounded(j.shift, j.scale, j.nu, j.inflate, j.worst, j.worstOne) {
		return nil
	}
	for k, s := range j.sd {
		if !(s > 0 && s <= 1e6 && math.Abs(j.mean[k]) <= 1) {
			return nil
		}
	}
	j.functions = make([]function, n)
	for i := range j.functions {
		f := &j.functions[i]
		f.product, f.n, f.start = r.Bool(), int(r.Int()), r.Float()
		if f.n < 2 || f.n > len(f.feature) || !(f.start >= 0 && f.start <= 1) {
			return nil
		}
		for k := range f.n {
			f.feature[k], f.weight[k] = int(r.Int()), r.Float()
			if f.feature[k] < 0 || f.feature[k] >= features || !(math.Abs(f.weight[k]) <= 2) {
				return nil
			}
		}
	}
	return j
}

// bounded reports whether all values are numbers that a reference can hold.
func bounded(v ...float64) bool {
	for _, x := range v {
		if !(math.Abs(x) <= 2*maxMagnitude) {
			return false
		}
	}
	return true
}
