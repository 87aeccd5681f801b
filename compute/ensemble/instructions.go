package ensemble

import "unsafe"

// instructions is a set of vector instructions: the kernels of a scorer. The functions have the
// contracts that stand beside the assembly.
type instructions struct {
	name       string
	thresholds int  // of a bin
	flip       byte // what ranks are xored with for passes
	lanes      int  // trees in a vector; 0 when there are no tree lanes
	passes     []pass
	looks      []look
	rank       func(s *scorer, out []byte, apart int, x []float64, rows, inputs int, flip byte)
	sum        func(leaf *byte, n int, scores *float64, stride int) float64
}

// pass is row lanes for so many rows at a time. Passes are listed by rows, fewest first.
type pass struct {
	rows int
	kill func(blocks *byte, n int, entries *byte, ranks *byte, dead *byte)
	fold func(dead *byte, trees, blocks int, scores *float64, stride int, leaf *byte, sums *float64)
}

// look is tree lanes for rows of so many bins, fewest first.
type look struct {
	bins  int
	trees treesFunc
}

type treesFunc func(counts *byte, groups int, entries *byte, ranks *byte, leaf *byte)

// pass returns the smallest that does n rows at once, or the largest.
func (k *instructions) pass(n int) *pass {
	for i := range k.passes {
		if k.passes[i].rows >= n {
			return &k.passes[i]
		}
	}
	return &k.passes[len(k.passes)-1]
}

// lookup returns the tree lanes for n bins, nil when there are too many.
func (k *instructions) lookup(n int) treesFunc {
	for _, l := range k.looks {
		if l.bins >= n {
			return l.trees
		}
	}
	return nil
}

// first returns where a slice begins, for kernels, which take no lengths.
func first[T any](v []T) *byte {
	if len(v) == 0 {
		return nil
	}
	return (*byte)(unsafe.Pointer(&v[0]))
}
