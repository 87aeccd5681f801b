package hoeffding

import (
	"skerry.dev/compute/drift"
	"skerry.dev/compute/state"
)

// watch is what an adaptive tree has recorded of the errors at a node.
type watch struct {
	adwin *drift.ADWIN
	mean  float64 // of the errors since they changed last
	n     float64 // how many those are
	other *node   // the alternate that grows beside a split; nil when there is none
}

// watchBytes is an ADWIN with a window of some ten thousand errors, and the rest: those of most
// nodes are shorter.
const watchBytes = 1024

func newWatch(delta float64) *watch { return &watch{adwin: newDetector(delta)} }

// update takes an error and reports whether errors have grown. When they have shrunk their mean
// starts anew.
func (w *watch) update(wrong float64) bool {
	old := w.mean
	change := w.adwin.Update(wrong)
	w.n++
	w.mean += (wrong - w.mean) / w.n
	if change && old > w.mean {
		w.mean, w.n = 0, 0
		return false
	}
	return change
}

func (w *watch) save(to *state.Writer, t *tree) {
	w.adwin.Save(to)
	to.Float(w.mean)
	to.Float(w.n)
	to.Bool(w.other != nil)
	if w.other != nil {
		t.saveNode(to, w.other)
	}
}

func (w *watch) load(r *state.Reader, t *tree, n *node) {
	w.adwin.Load(r)
	w.mean, w.n = loadWeight(r), loadWeight(r)
	if r.Bool() {
		if n.kind == terminal {
			r.Fail()
			return
		}
		w.other = t.loadNode(r, n.depth)
	}
	if w.mean > 1 {
		r.Fail()
	}
}
