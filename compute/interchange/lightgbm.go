package interchange

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// The bits of LightGBM's decision_type.
const (
	lgbCategorical = 1
	lgbDefaultLeft = 2
	lgbMissing     = 12 // two bits: none, zero, NaN
	lgbMissingZero = 4
	lgbMissingNaN  = 8
)

// lgbReader reads a text model line by line.
type lgbReader struct {
	rest  []byte
	line  int
	m     *Model
	g     grove
	head  map[string]string
	types []byte // by feature: the missing types seen, bit 0 none, 1 zero, 2 NaN
	cats  []bool // by feature: some node has a category set
}

// ImportLightGBM reads a model saved by LightGBM as text (save_model, model_to_string), format
// versions v2 to v4.
func ImportLightGBM(b []byte, o Options) (*Model, error) {
	if len(b) > MaxBytes {
		return nil, damaged("%d bytes, at most %d", len(b), MaxBytes)
	}
	r := &lgbReader{rest: bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), m: &Model{Format: LightGBM}}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("import lightgbm: line %d: %w", r.line, err)
	}
	m, err := r.model()
	if err != nil {
		return nil, fmt.Errorf("import lightgbm: %w", err)
	}
	m, err = m.finish(b, o)
	if err != nil {
		return nil, fmt.Errorf("import lightgbm: %w", err)
	}
	return m, nil
}

// next returns the next line without its end, false after the last.
func (r *lgbReader) next() (string, bool) {
	if len(r.rest) == 0 {
		return "", false
	}
	line, rest, _ := bytes.Cut(r.rest, []byte("\n"))
	r.rest = rest
	r.line++
	return string(bytes.TrimRight(line, "\r ")), true
}

func (r *lgbReader) read() error {
	first, _ := r.next()
	if first != "tree" {
		return damaged("the first line is %.40q, must be \"tree\"", first)
	}
	r.head = map[string]string{}
	ended := false
	for {
		line, ok := r.next()
		if !ok {
			break
		}
		if strings.HasPrefix(line, "Tree=") {
			if len(r.g.trees) == 0 {
				if err := r.header(); err != nil {
					return err
				}
			}
			if err := r.tree(strings.TrimPrefix(line, "Tree=")); err != nil {
				return fmt.Errorf("tree %s: %w", strings.TrimPrefix(line, "Tree="), err)
			}
			continue
		}
		if line == "end of trees" {
			ended = true
			break
		}
		if len(r.g.trees) == 0 {
			if len(r.head) > 64 {
				return damaged("more than 64 lines before the first tree: the file is damaged")
			}
			key, value, _ := strings.Cut(line, "=")
			r.head[key] = value
		}
	}
	if !ended {
		return damaged("the file ends before \"end of trees\": it is cut short, copy it again")
	}
	if r.m.Inputs == nil {
		if err := r.header(); err != nil {
			return err
		}
	}
	return r.tail()
}

// header reads what stands before the first tree.
func (r *lgbReader) header() error {
	v := r.head["version"]
	if v != "" && v != "v2" && v != "v3" && v != "v4" {
		return refused("format version %.20q, know v2 to v4: save the model with LightGBM 2 to 4", v)
	}
	r.m.Producer = strings.TrimSpace("lightgbm text " + v)
	outputs, err := r.headInt("num_tree_per_iteration", 1, ensemble.MaxOutputs)
	if err != nil {
		return err
	}
	last, err := r.headInt("max_feature_idx", 0, maxFeatures-1)
	if err != nil {
		return err
	}
	r.g.inputs, r.g.outputs, r.g.covers = last+1, outputs, true
	r.g.base = make([]float64, outputs)
	names := strings.Fields(r.head["feature_names"])
	if len(names) != last+1 {
		return damaged("feature_names has %d names, max_feature_idx=%d needs %d", len(names), last, last+1)
	}
	r.g.names = names
	for _, n := range names {
		r.m.Inputs = append(r.m.Inputs, Input{Name: n})
	}
	r.types, r.cats = make([]byte, last+1), make([]bool, last+1)
	r.m.Objective = r.head["objective"]
	return nil
}

func (r *lgbReader) headInt(key string, lo, hi int) (int, error) {
	v, err := strconv.Atoi(r.head[key])
	if err != nil || v < lo || v > hi {
		return 0, damaged("%s=%.20s before the first tree, must be %d to %d", key, r.head[key], lo, hi)
	}
	return v, nil
}

// lgbTree holds the lines of one tree that matter.
type lgbTree struct {
	leaves, cats int
	linear       bool
	lines        map[string]string
}

var lgbArrays = map[string]bool{"split_feature": true, "threshold": true, "decision_type": true, "left_child": true, "right_child": true, "leaf_value": true, "leaf_count": true,
	"internal_count": true, "cat_boundaries": true, "cat_threshold": true}

func (r *lgbReader) tree(number string) error {
	if want := strconv.Itoa(len(r.g.trees)); number != want {
		return damaged("this is tree %.20q, must be %s: trees are missing or repeated", number, want)
	}
	t := lgbTree{lines: map[string]string{}}
	for {
		line, ok := r.next()
		if !ok {
			return damaged("the file ends inside the tree: it is cut short, copy it again")
		}
		if line == "" {
			break
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return damaged("the line %.40q has no \"=\"", line)
		}
		var err error
		switch {
		case key == "num_leaves":
			t.leaves, err = strconv.Atoi(value)
		case key == "num_cat":
			t.cats, err = strconv.Atoi(value)
		case key == "is_linear":
			t.linear = value != "0"
		case lgbArrays[key]:
			if _, twice := t.lines[key]; twice {
				return damaged("%s stands twice", key)
			}
			t.lines[key] = value
		}
		if err != nil {
			return damaged("%s=%.20s, must be a whole number", key, value)
		}
	}
	nodes, err := r.nodes(&t)
	if err != nil {
		return err
	}
	return r.g.add(nodes, len(r.g.trees)%r.g.outputs)
}

// nodes builds the tree: inner nodes first, then leaves.
func (r *lgbReader) nodes(t *lgbTree) (ensemble.Tree, error) {
	switch {
	case t.linear:
		return nil, refused("is_linear=1: the leaves are linear models; train with linear_tree=false")
	case t.leaves < 1 || t.leaves > 1<<20:
		return nil, damaged("num_leaves=%d, must be 1 to %d", t.leaves, 1<<20)
	case t.cats < 0 || t.cats >= t.leaves:
		return nil, damaged("num_cat=%d with num_leaves=%d", t.cats, t.leaves)
	}
	inner := t.leaves - 1
	value, err := floatFields(t.lines["leaf_value"], "leaf_value", t.leaves, false)
	if err != nil {
		return nil, err
	}
	nodes := make(ensemble.Tree, inner+t.leaves)
	for i, v := range value {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, damaged("leaf %d has the value %v, must be finite: train again", i, v)
		}
		nodes[inner+i].Value = v
	}
	r.covers(t, nodes, inner)
	if inner == 0 {
		return nodes, nil
	}
	threshold, err := floatFields(t.lines["threshold"], "threshold", inner, true)
	if err != nil {
		return nil, err
	}
	var ints [4][]int64
	for i, key := range [4]string{"split_feature", "decision_type", "left_child", "right_child"} {
		if ints[i], err = intFields(t.lines[key], key, inner); err != nil {
			return nil, err
		}
	}
	sets, err := r.bitsets(t)
	if err != nil {
		return nil, err
	}
	child := func(c int64) int {
		if c < 0 {
			return inner + int(^c)
		}
		if c == 0 || c >= int64(inner) {
			return len(nodes) // refused by treeShape
		}
		return int(c)
	}
	for i := range inner {
		n := &nodes[i]
		f := ints[0][i]
		if f < 0 || f >= int64(r.g.inputs) {
			return nil, damaged("split_feature %d at node %d, must be 0 to %d", f, i, r.g.inputs-1)
		}
		l, rt := ints[2][i], ints[3][i]
		if l < -int64(t.leaves) || rt < -int64(t.leaves) {
			return nil, damaged("node %d has children %d and %d, must be -%d to %d", i, l, rt, t.leaves, inner-1)
		}
		n.Feature, n.Left, n.Right = int(f), child(l), child(rt)
		if err := r.decide(n, ints[1][i], threshold[i], sets); err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
	}
	return nodes, nil
}

// decide sets a node's condition.
func (r *lgbReader) decide(n *ensemble.Node, decision int64, threshold float64, sets [][]int) error {
	if decision < 0 || decision > 15 || decision&lgbMissing == lgbMissing {
		return damaged("decision_type %d, must be 0 to 11: the file is damaged", decision)
	}
	if decision&lgbCategorical != 0 {
		if !(threshold >= 0 && threshold < float64(len(sets))) || threshold != math.Trunc(threshold) {
			return damaged("category set %v of %d", threshold, len(sets))
		}
		// A missing value goes right, whatever the missing type.
		r.cats[n.Feature] = true
		return r.g.set(n, sets[int(threshold)])
	}
	switch decision & lgbMissing {
	case lgbMissingNaN:
		n.MissingLeft = decision&lgbDefaultLeft != 0
		r.types[n.Feature] |= 4
	case lgbMissingZero:
		n.MissingLeft = decision&lgbDefaultLeft != 0
		r.types[n.Feature] |= 2
	default: // a missing value counts as 0
		n.MissingLeft = 0 <= threshold
		r.types[n.Feature] |= 1
	}
	// LightGBM replaces numbers in [-z, z] by 0 before the trees see them.
	const z = chain.ZeroThreshold
	switch {
	case threshold >= 0 && threshold < z:
		threshold = z
	case threshold < 0 && threshold >= -z:
		threshold = math.Nextafter(-z, math.Inf(-1))
	}
	return comparison(n, threshold)
}

// covers takes the counts of training rows when the file has them.
func (r *lgbReader) covers(t *lgbTree, nodes ensemble.Tree, inner int) {
	leaf, err := intFields(t.lines["leaf_count"], "leaf_count", t.leaves)
	if err != nil {
		if inner == 0 && r.g.covers { // a tree of one leaf has no counts; any weight does
			nodes[0].Cover = 1
			return
		}
		r.g.covers = false
		return
	}
	count, err := intFields(t.lines["internal_count"], "internal_count", inner)
	if err != nil {
		r.g.covers = false
		return
	}
	for i, c := range append(count, leaf...) {
		if c < 0 {
			r.g.covers = false
			return
		}
		nodes[i].Cover = float64(c)
	}
}

// bitsets reads the category sets of a tree: set i is the words cat_boundaries[i] to
// cat_boundaries[i+1] of cat_threshold.
func (r *lgbReader) bitsets(t *lgbTree) ([][]int, error) {
	if t.cats == 0 {
		return nil, nil
	}
	bounds, err := intFields(t.lines["cat_boundaries"], "cat_boundaries", t.cats+1)
	if err != nil {
		return nil, err
	}
	words, err := intFields(t.lines["cat_threshold"], "cat_threshold", -1)
	if err != nil {
		return nil, err
	}
	sets, total := make([][]int, t.cats), 0
	if bounds[0] != 0 {
		return nil, damaged("cat_boundaries begins with %d, must be 0", bounds[0])
	}
	for i := range sets {
		from, to := bounds[i], bounds[i+1]
		if to < from || to > int64(len(words)) {
			return nil, damaged("cat_boundaries go from %d to %d of %d words", from, to, len(words))
		}
		if to-from > maxCodes/32 {
			return nil, refused("a category set of %d words, at most %d: categories go up to %d, encode them as numbers below that before training", to-from, maxCodes/32, maxCodes-1)
		}
		sets[i] = []int{}
		for w, word := range words[from:to] {
			if word < 0 || word > math.MaxUint32 {
				return nil, damaged("cat_threshold has %d, must be 0 to %d", word, uint32(math.MaxUint32))
			}
			if total += bits.OnesCount32(uint32(word)); total > maxSetCodes {
				return nil, refused("the sets of categories hold more than %d codes: join rare categories before training", maxSetCodes)
			}
			for v := uint32(word); v != 0; v &= v - 1 {
				sets[i] = append(sets[i], 32*w+bits.TrailingZeros32(v))
			}
		}
	}
	return sets, nil
}

// tail reads the names of pandas categories after the trees.
func (r *lgbReader) tail() error {
	for {
		line, ok := r.next()
		if !ok {
			return nil
		}
		text, ok := strings.CutPrefix(line, "pandas_categorical:")
		if !ok || text == "null" || text == "[]" || text == "" {
			continue
		}
		if err := jsonDepth([]byte(text), 4); err != nil {
			return fmt.Errorf("pandas_categorical: %w", err)
		}
		var names [][]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber() // 1000000 must not become 1e+06
		if err := d.Decode(&names); err != nil {
			return damaged("pandas_categorical: %w", err)
		}
		r.categories(names)
	}
}

// categories gives the names to the inputs that the file marks as categorical, in order.
func (r *lgbReader) categories(names [][]any) {
	infos := strings.Fields(r.head["feature_infos"])
	var at []int
	for i := range r.m.Inputs {
		if r.cats[i] || len(infos) == len(r.m.Inputs) && infos[i] != "none" && !strings.HasPrefix(infos[i], "[") {
			at = append(at, i)
		}
	}
	if len(at) != len(names) {
		r.m.Notes = append(r.m.Notes, fmt.Sprintf("the file names the categories of %d columns but %d inputs are categorical: category names are left out, values are pandas category codes", len(names), len(at)))
		return
	}
	for k, i := range at {
		for _, v := range names[k] {
			r.m.Inputs[i].Categories = append(r.m.Inputs[i].Categories, fmt.Sprint(v))
		}
	}
}

// model puts the parts together once everything is read.
func (r *lgbReader) model() (*Model, error) {
	m, g := r.m, &r.g
	if len(g.trees) == 0 {
		return nil, damaged("the file has no trees: train at least one round")
	}
	if len(g.trees)%g.outputs != 0 {
		return nil, damaged("%d trees for num_tree_per_iteration=%d: trees are missing", len(g.trees), g.outputs)
	}
	g.zero = make([]bool, g.inputs)
	for f, t := range r.types {
		if t&2 == 0 {
			continue
		}
		if t&4 != 0 || r.cats[f] {
			return nil, refused("input %q takes zero for missing at some nodes and not at others: train with one setting of zero_as_missing", g.names[f])
		}
		g.zero[f] = true
	}
	if _, average := r.head["average_output"]; average {
		n := float64(len(g.trees) / g.outputs)
		for _, t := range g.trees {
			for i := range t {
				t[i].Value /= n
			}
		}
	}
	link, after, err := r.objective()
	if err != nil {
		return nil, err
	}
	if m.Predictor, err = g.pack(link, after...); err != nil {
		return nil, err
	}
	if slices.Contains(r.cats, true) {
		m.Notes = append(m.Notes, "categorical inputs take whole numbers; LightGBM would cut off the fraction of others, here they belong to no category")
	}
	m.plain()
	m.probes = probesOf(m.Predictor, g.inputs)
	return m, nil
}

// objective finds the link, the kind and the classes.
func (r *lgbReader) objective() (ensemble.Link, []chain.Stage, error) {
	m, words := r.m, strings.Fields(r.m.Objective)
	m.Kind = artifact.KindRegression
	if len(words) == 0 {
		m.Notes = append(m.Notes, "the file names no objective (a custom one?): outputs are raw scores")
		return ensemble.Identity, nil, nil
	}
	sigmoid := 1.0
	for _, w := range words[1:] {
		text, ok := strings.CutPrefix(w, "sigmoid:")
		if !ok {
			continue
		}
		var err error
		if sigmoid, err = strconv.ParseFloat(text, 64); err != nil || !(sigmoid > 0 && sigmoid < 1e6) {
			return 0, nil, damaged("objective %q: sigmoid must be a positive number", m.Objective)
		}
	}
	switch words[0] {
	case "regression", "regression_l2", "regression_l1", "l1", "l2", "mean_squared_error", "mean_absolute_error", "huber", "fair", "quantile", "mape", "custom":
		if slices.Contains(words, "sqrt") {
			return ensemble.Identity, []chain.Stage{{Op: chain.SignedSquare}}, nil
		}
		return ensemble.Identity, nil, nil
	case "lambdarank", "rank_xendcg":
		m.Notes = append(m.Notes, "a ranking: outputs order rows, their size has no meaning")
		return ensemble.Identity, nil, nil
	case "poisson", "gamma", "tweedie":
		return ensemble.Exponential, nil, nil
	case "cross_entropy", "xentropy":
		return ensemble.Logistic, nil, nil
	case "cross_entropy_lambda", "xentlambda":
		return ensemble.Identity, []chain.Stage{{Op: chain.Log1pExp}}, nil
	case "binary":
		if r.g.outputs != 1 {
			return 0, nil, damaged("objective binary with num_tree_per_iteration=%d", r.g.outputs)
		}
		r.classes(2)
		r.scale(sigmoid)
		return ensemble.Logistic, nil, nil
	case "multiclass", "softmax":
		if r.g.outputs < 2 {
			return 0, nil, damaged("objective multiclass with num_tree_per_iteration=%d", r.g.outputs)
		}
		r.classes(r.g.outputs)
		return ensemble.Softmax, nil, nil
	case "multiclassova":
		if r.g.outputs < 2 {
			return 0, nil, damaged("objective multiclassova with num_tree_per_iteration=%d", r.g.outputs)
		}
		r.classes(r.g.outputs)
		r.scale(sigmoid)
		m.Notes = append(m.Notes, "one model per class: the classes' probabilities do not add up to 1, as in LightGBM")
		return ensemble.Logistic, nil, nil
	}
	return 0, nil, refused("objective %.40q: know regression, regression_l1, huber, fair, quantile, mape, poisson, gamma, tweedie, binary, multiclass, multiclassova, cross_entropy, cross_entropy_lambda, lambdarank and rank_xendcg",
		words[0])
}

func (r *lgbReader) classes(n int) {
	r.m.Kind, r.m.Classes = artifact.KindClassification, numbered(n)
}

// numbered returns the names 0 to n-1.
func numbered(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = strconv.Itoa(i)
	}
	return s
}

// scale multiplies all scores: 1/(1+exp(-k·s)) is the logistic of k·s.
func (r *lgbReader) scale(k float64) {
	if k == 1 {
		return
	}
	for _, t := range r.g.trees {
		for i := range t {
			t[i].Value *= k
		}
	}
}

// floatFields parses numbers separated by blanks; want is their count.
func floatFields(s, key string, want int, infinite bool) ([]float64, error) {
	if strings.Count(s, " ") > want { // before anything is allocated
		return nil, damaged("%s has more than %d values", key, want)
	}
	words := strings.Fields(s)
	if len(words) != want {
		return nil, damaged("%s has %d values, must be %d: the file is damaged", key, len(words), want)
	}
	v := make([]float64, want)
	for i, w := range words {
		x, err := strconv.ParseFloat(w, 64)
		if err != nil && !(infinite && math.IsInf(x, 0)) {
			return nil, damaged("%s has %.30q, must be a number", key, w)
		}
		v[i] = x
	}
	return v, nil
}

// intFields parses whole numbers separated by blanks; want is their count, or -1 for any.
func intFields(s, key string, want int) ([]int64, error) {
	limit := want
	if want < 0 {
		limit = maxSetCodes
	}
	if strings.Count(s, " ") > limit { // before anything is allocated
		return nil, damaged("%s has more than %d values", key, limit)
	}
	words := strings.Fields(s)
	if want >= 0 && len(words) != want {
		return nil, damaged("%s has %d values, must be %d: the file is damaged", key, len(words), want)
	}
	v := make([]int64, len(words))
	for i, w := range words {
		x, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return nil, damaged("%s has %.30q, must be a whole number", key, w)
		}
		v[i] = x
	}
	return v, nil
}

// jsonDepth refuses text that nests deeper than limit: encoding/json recurses.
func jsonDepth(b []byte, limit int) error {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return damaged("values nest deeper than %d", limit)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}
