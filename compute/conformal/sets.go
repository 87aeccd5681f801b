package conformal

// Sets of classes that hold the true one with a stated probability: the classes whose score 1 − p
// is at most a quantile of the scores of the truths so far (Sadinle, Lei and Wasserman, "Least
// Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 114, 2019). The quantile is
// that of [Adaptive], so that the sets keep their coverage under drift; a sure classifier gives
// sets of one class, an unsure one larger sets.

// SetScore is the score of a class with probability p.
func SetScore(p float64) float64 { return 1 - p }

// Set writes to in which classes belong to the set for the quantile q and returns their number.
// The most probable class always does, the first of equals. Before scores are known q is
// Adaptive.Factor(1): all classes.
func Set(in []bool, p []float64, q float64) (size int) {
	best := 0
	for c, v := range p {
		if in[c] = SetScore(v) <= q; in[c] {
			size++
		}
		if v > p[best] {
			best = c
		}
	}
	if !in[best] {
		in[best] = true
		size++
	}
	return size
}
