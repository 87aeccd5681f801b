package interchange

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// maxLeafValues bounds the numbers in the leaves of vector trees; an artifact holds no more.
const maxLeafValues = 1 << 22

// onnxTrees is a tree ensemble of any version before its leaves are known.
type onnxTrees struct {
	ids    map[[2]int64]int // tree and node → position
	tree   []int            // by node: which tree, in order of first appearance
	nodes  []ensemble.Node
	leaf   []bool
	number int   // trees
	start  []int // by tree: root
	local  []int // by node: position in its tree
	sizes  []int // by tree: nodes
	single bool  // numbers are float32
	values [][]leafValue
	gone   []bool // by node: joined with its parent
}

type leafValue struct {
	id     int
	weight float64
}

// listOf returns numbers from the attribute or from its tensor form.
func listOf(n *onnxNode, key string) ([]float64, error) {
	if a := n.attrs[key+"_as_tensor"]; a != nil && a.t != nil {
		return a.t.numbers()
	}
	return floatsOf(n, key), nil
}

func intsOf(n *onnxNode, key string) []int64 {
	if a := n.attrs[key]; a != nil {
		return a.ints
	}
	return nil
}

func isSingle(elem int64) bool { return elem != typeDouble }

// readTrees reads the nodes of TreeEnsembleRegressor and TreeEnsembleClassifier.
func readTrees(n *onnxNode, v *onnxValue, g *grove) (*onnxTrees, error) {
	trees, ids, features := intsOf(n, "nodes_treeids"), intsOf(n, "nodes_nodeids"), intsOf(n, "nodes_featureids")
	yes, no := intsOf(n, "nodes_truenodeids"), intsOf(n, "nodes_falsenodeids")
	values, err := listOf(n, "nodes_values")
	if err != nil {
		return nil, err
	}
	var modes []string
	if a := n.attrs["nodes_modes"]; a != nil {
		modes = a.strings
	}
	count := len(trees)
	if count == 0 || len(ids) != count || len(features) != count || len(yes) != count || len(no) != count || len(values) != count || len(modes) != count {
		return nil, damaged("%d nodes_treeids, %d nodes_nodeids, %d nodes_featureids, %d nodes_truenodeids, %d nodes_falsenodeids, %d nodes_values and %d nodes_modes: must be as many of each, and not 0",
			count, len(ids), len(features), len(yes), len(no), len(values), len(modes))
	}
	if count > ensemble.MaxNodes {
		return nil, refused("%d nodes, at most %d", count, ensemble.MaxNodes)
	}
	tracks := intsOf(n, "nodes_missing_value_tracks_true")
	if len(tracks) != 0 && len(tracks) != count {
		return nil, damaged("%d nodes_missing_value_tracks_true for %d nodes", len(tracks), count)
	}
	t := &onnxTrees{ids: make(map[[2]int64]int, count), single: isSingle(v.elem)}
	order := map[int64]int{}
	for i := range count {
		key := [2]int64{trees[i], ids[i]}
		if _, twice := t.ids[key]; twice {
			return nil, damaged("node %d of tree %d stands twice", ids[i], trees[i])
		}
		t.ids[key] = i
		k, ok := order[trees[i]]
		if !ok {
			if k = len(order); k >= ensemble.MaxTrees {
				return nil, refused("more than %d trees", ensemble.MaxTrees)
			}
			order[trees[i]] = k
		}
		t.tree = append(t.tree, k)
	}
	t.number = len(order)
	t.nodes, t.leaf, t.gone = make([]ensemble.Node, count), make([]bool, count), make([]bool, count)
	for i := range count {
		if modes[i] == "LEAF" {
			t.leaf[i] = true
			continue
		}
		child := func(id int64) (int, error) {
			c, ok := t.ids[[2]int64{trees[i], id}]
			if !ok {
				return 0, damaged("node %d of tree %d has child %d, which is not in the file", ids[i], trees[i], id)
			}
			return c, nil
		}
		a, err := child(yes[i])
		if err != nil {
			return nil, err
		}
		b, err := child(no[i])
		if err != nil {
			return nil, err
		}
		track := len(tracks) > 0 && tracks[i] != 0
		if err := t.branch(g, i, modes[i], features[i], len(v.cols), values[i], a, b, track); err != nil {
			return nil, fmt.Errorf("node %d of tree %d: %w", ids[i], trees[i], err)
		}
	}
	if err := t.join(g); err != nil {
		return nil, err
	}
	t.sizes, t.local = make([]int, t.number), make([]int, count)
	for i, k := range t.tree {
		if !t.gone[i] {
			t.local[i] = t.sizes[k]
			t.sizes[k]++
		}
	}
	return t, t.roots()
}

// join makes one node of a chain of BRANCH_EQ that share the node for "equal": that is how
// converters write a set of categories.
func (t *onnxTrees) join(g *grove) error {
	if len(g.sets) == 0 {
		return nil
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		codes, ok := g.sets[n]
		if !ok || t.gone[i] {
			continue
		}
		from := len(codes)
		for {
			next := &t.nodes[n.Right]
			more, ok := g.sets[next]
			if !ok || n.Right == i || t.gone[n.Right] || next.Feature != n.Feature || next.Left != n.Left {
				break
			}
			codes = append(codes, more...)
			delete(g.sets, next)
			t.gone[n.Right] = true
			n.Right, n.MissingLeft = next.Right, n.MissingLeft || next.MissingLeft
		}
		if len(codes) > from {
			g.sets[n] = slices.Compact(slices.Sorted(slices.Values(codes)))
		}
	}
	for i := range t.nodes {
		if n := &t.nodes[i]; !t.leaf[i] && !t.gone[i] && (t.gone[n.Left] || t.gone[n.Right]) {
			return damaged("a node in a chain of BRANCH_EQ has two parents")
		}
	}
	return nil
}

// branch sets the condition of node i. yes and no are positions among all nodes.
func (t *onnxTrees) branch(g *grove, i int, mode string, feature int64, columns int, x float64, yes, no int, track bool) error {
	if feature < 0 || feature >= int64(columns) {
		return damaged("it tests feature %d, must be 0 to %d", feature, columns-1)
	}
	n := &t.nodes[i]
	n.Feature, n.Left, n.Right, n.MissingLeft = int(feature), yes, no, track
	swap := func() { n.Left, n.Right, n.MissingLeft = n.Right, n.Left, !n.MissingLeft }
	if math.IsNaN(x) && mode != "BRANCH_MEMBER" {
		return damaged("its value is NaN, must be a number: the file is damaged")
	}
	if t.single {
		x = float64(float32(x))
	}
	switch mode {
	case "BRANCH_LEQ":
		return comparison(n, x)
	case "BRANCH_GT":
		swap()
		return comparison(n, x)
	case "BRANCH_LT":
		return comparison(n, t.below(x))
	case "BRANCH_GTE":
		swap()
		return comparison(n, t.below(x))
	case "BRANCH_EQ", "BRANCH_NEQ":
		if mode == "BRANCH_NEQ" {
			n.MissingLeft = true // a missing value differs from every number
			swap()
		}
		if !(x >= 0 && x < maxCodes) || x != math.Trunc(x) {
			return refused("it compares with %v for equality: only whole numbers from 0 to %d can be", x, maxCodes-1)
		}
		return g.set(n, []int{int(x)})
	}
	return refused("mode %.30q, know BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, BRANCH_NEQ, BRANCH_MEMBER and LEAF", mode)
}

func (t *onnxTrees) below(x float64) float64 {
	if t.single {
		return below32(float32(x))
	}
	return math.Nextafter(x, math.Inf(-1))
}

// roots finds the node without a parent of every tree.
func (t *onnxTrees) roots() error {
	parent := make([]bool, len(t.nodes))
	for i := range t.nodes {
		if !t.leaf[i] && !t.gone[i] {
			parent[t.nodes[i].Left], parent[t.nodes[i].Right] = true, true
		}
	}
	t.start = slices.Repeat([]int{-1}, t.number)
	for i := range t.nodes {
		if parent[i] || t.gone[i] {
			continue
		}
		if t.start[t.tree[i]] >= 0 {
			return damaged("tree %d of the file has two nodes without a parent", t.tree[i])
		}
		t.start[t.tree[i]] = i
	}
	for k, s := range t.start {
		if s < 0 {
			return damaged("tree %d of the file has no root: its nodes go round in a circle", k)
		}
	}
	return nil
}

// leaves reads what the leaves add to which output.
func (t *onnxTrees) leaves(n *onnxNode, prefix string, outputs int) error {
	trees, ids, targets := intsOf(n, prefix+"_treeids"), intsOf(n, prefix+"_nodeids"), intsOf(n, prefix+"_ids")
	weights, err := listOf(n, prefix+"_weights")
	if err != nil {
		return err
	}
	if len(ids) != len(trees) || len(targets) != len(trees) || len(weights) != len(trees) {
		return damaged("%d %s_treeids, %d %s_nodeids, %d %s_ids and %d %s_weights: must be as many", len(trees), prefix, len(ids), prefix, len(targets), prefix, len(weights), prefix)
	}
	t.values = make([][]leafValue, len(t.nodes))
	backing := make([]leafValue, len(trees)) // one allocation for the usual order
	for k := range trees {
		i, ok := t.ids[[2]int64{trees[k], ids[k]}]
		switch {
		case !ok || !t.leaf[i]:
			return damaged("a weight belongs to node %d of tree %d, which is no leaf", ids[k], trees[k])
		case targets[k] < 0 || targets[k] >= int64(outputs):
			return damaged("a leaf adds to output %d, must be 0 to %d", targets[k], outputs-1)
		case math.IsNaN(weights[k]) || math.IsInf(weights[k], 0):
			return damaged("a leaf has the weight %v, must be finite", weights[k])
		}
		backing[k] = leafValue{int(targets[k]), weights[k]}
		if t.values[i] == nil {
			t.values[i] = backing[k : k+1 : k+1]
		} else {
			t.values[i] = append(t.values[i], backing[k])
		}
	}
	return nil
}

// fill hands the trees to the grove. Leaves become vectors when a tree adds to more than one
// output.
func (t *onnxTrees) fill(g *grove, average bool) error {
	class := slices.Repeat([]int{-1}, t.number)
	leaves := 0
	for i, list := range t.values {
		if t.leaf[i] {
			leaves++
		}
		for _, v := range list {
			k := &class[t.tree[i]]
			if *k >= 0 && *k != v.id {
				g.vector = true
			}
			*k = v.id
		}
	}
	if g.vector && leaves > maxLeafValues/g.outputs {
		return refused("%d leaves with %d values each, at most %d numbers: train fewer or smaller trees", leaves, g.outputs, maxLeafValues)
	}
	divisor := 1.0
	if average {
		divisor = float64(t.number)
	}
	flat := make([]ensemble.Tree, t.number)
	for k, size := range t.sizes {
		flat[k] = make(ensemble.Tree, size)
	}
	for i := range t.nodes {
		if !t.leaf[i] && t.nodes[i].Left == t.nodes[i].Right || t.gone[i] {
			// joined with its parent, or stands above a tree of one leaf; elsewhere the tree's
			// shape is refused below
			continue
		}
		// The root comes first in its tree: swap places with what stands there.
		k, n := t.tree[i], t.nodes[i]
		place := func(j int) int {
			switch {
			case j == t.start[k]:
				return 0
			case t.local[j] == 0:
				return t.local[t.start[k]]
			}
			return t.local[j]
		}
		if t.leaf[i] {
			n = ensemble.Node{}
			for _, v := range t.values[i] {
				n.Value += v.weight / divisor
			}
			if g.vector {
				n.Value, n.Values = 0, make([]float64, g.outputs)
				for _, v := range t.values[i] {
					n.Values[v.id] += v.weight / divisor
				}
			}
		} else {
			n.Left, n.Right = place(n.Left), place(n.Right)
		}
		to := &flat[k][place(i)]
		*to = n
		if codes, ok := g.sets[&t.nodes[i]]; ok {
			delete(g.sets, &t.nodes[i])
			g.sets[to] = codes
		}
	}
	for k, tree := range flat {
		if err := g.add(tree, max(class[k], 0)); err != nil {
			return fmt.Errorf("tree %d of the file: %w", k, err)
		}
	}
	return nil
}

// stageOf makes the stage of a filled grove.
func stageOf(v *onnxValue, g *grove) *stage {
	return &stage{cols: v.cols, n: g.outputs, trees: g}
}

func newGrove(e *onnxEval, v *onnxValue, outputs int) *grove {
	g := &grove{
		inputs:  len(v.cols),
		outputs: outputs,
		base:    make([]float64, outputs),
		round32: isSingle(v.elem),
	}
	for _, c := range v.cols {
		g.names = append(g.names, e.m.Inputs[min(c.input, len(e.m.Inputs)-1)].Name)
	}
	return g
}

// aggregates reads how leaves become scores; true is the average.
func aggregates(n *onnxNode) (bool, error) {
	switch f := textOf(n, "aggregate_function"); f {
	case "", "SUM":
		return false, nil
	case "AVERAGE":
		return true, nil
	default:
		return false, refused("aggregate_function %.20q, know SUM and AVERAGE", f)
	}
}

// bases reads base_values: one per output, or none.
func bases(n *onnxNode) ([]float64, error) {
	base, err := listOf(n, "base_values")
	if err == nil && !finiteAll(base) {
		err = damaged("base_values %v are not finite", base)
	}
	return base, err
}

func (e *onnxEval) treeRegressor(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	outputs := int64(1)
	if a := n.attrs["n_targets"]; a != nil {
		outputs = a.i
	}
	if outputs < 1 || outputs > ensemble.MaxOutputs {
		return nil, refused("n_targets %d, must be 1 to %d", outputs, ensemble.MaxOutputs)
	}
	average, err := aggregates(n)
	if err != nil {
		return nil, err
	}
	base, err := bases(n)
	if err != nil {
		return nil, err
	}
	if len(base) != 0 && len(base) != int(outputs) {
		return nil, damaged("%d base_values for %d targets", len(base), outputs)
	}
	g := newGrove(e, v, int(outputs))
	copy(g.base, base)
	t, err := readTrees(n, v, g)
	if err != nil {
		return nil, err
	}
	if err := t.leaves(n, "target", g.outputs); err != nil {
		return nil, err
	}
	if err := t.fill(g, average); err != nil {
		return nil, err
	}
	post := textOf(n, "post_transform")
	if post == "" {
		post = "NONE"
	}
	st, err := posted(stageOf(v, g), post)
	if err != nil {
		return nil, err
	}
	return &onnxValue{outs: st.all(), elem: typeFloat}, nil
}

// treeClassifier follows onnxruntime: with two classes and weights for the first alone, the score
// is that of the second class.
func (e *onnxEval) treeClassifier(n *onnxNode, v *onnxValue, info *classInfo, post string) (*onnxValue, error) {
	outputs := len(info.names)
	base, err := bases(n)
	if err != nil {
		return nil, err
	}
	g := newGrove(e, v, outputs)
	t, err := readTrees(n, v, g)
	if err != nil {
		return nil, err
	}
	if err := t.leaves(n, "class", outputs); err != nil {
		return nil, err
	}
	single, positive := outputs == 2, true
	for _, list := range t.values {
		for _, w := range list {
			single, positive = single && w.id == 0, positive && w.weight >= 0
		}
	}
	if single {
		if len(base) > 1 {
			return nil, refused("%d base_values for one score of two classes, must be at most 1", len(base))
		}
		g.outputs, g.base = 1, make([]float64, 1)
		copy(g.base, base)
		if err := t.fill(g, false); err != nil {
			return nil, err
		}
		st := stageOf(v, g)
		switch {
		case post == "LOGISTIC":
			st = st.with(ensemble.Logistic, chain.Logistic)
		case post != "NONE" && post != "SOFTMAX":
			return nil, refused("post_transform %.20q, know NONE, LOGISTIC and SOFTMAX", post)
		case !positive:
			return e.signed(st, info)
		}
		st.shares = true
		return &onnxValue{outs: []output{{st: st, rest: true}, {st: st}}, elem: typeFloat, class: info}, nil
	}
	if outputs == 2 {
		if len(base) > 0 {
			return nil, refused("base_values beside weights for both of two classes, which runtimes compute in different ways")
		}
		if !t.complete(outputs) {
			return nil, refused("two classes, and some leaves have weights for one of them only, which runtimes compute in different ways")
		}
	}
	if len(base) != 0 && len(base) != outputs {
		return nil, damaged("%d base_values for %d classes", len(base), outputs)
	}
	copy(g.base, base)
	if err := t.fill(g, false); err != nil {
		return nil, err
	}
	st, err := posted(stageOf(v, g), post)
	if err != nil {
		return nil, err
	}
	if post == "NONE" && positive && finiteAll(base) && !slices.ContainsFunc(base, func(x float64) bool { return x < 0 }) {
		st.norms = true
	}
	return &onnxValue{outs: st.all(), elem: typeFloat, class: info}, nil
}

// signed makes the scores −s and s of a single score with negative weights and no post_transform.
func (e *onnxEval) signed(st *stage, info *classInfo) (*onnxValue, error) {
	g := st.trees
	for t := range g.trees {
		for i := range g.trees[t] {
			if n := &g.trees[t][i]; n.Left == 0 {
				n.Values, n.Value = []float64{-n.Value, n.Value}, 0
			}
		}
	}
	g.vector, g.outputs, g.base = true, 2, []float64{-g.base[0], g.base[0]}
	out := stageOf(&onnxValue{cols: st.cols}, g)
	return &onnxValue{outs: out.all(), elem: typeFloat, class: info}, nil
}

// complete reports whether every row gets a score for every output: some tree has it in all its
// leaves.
func (t *onnxTrees) complete(outputs int) bool {
	// by tree: the outputs (of at most two) that all leaves have so far
	all := make([]uint64, t.number)
	for k := range all {
		all[k] = 1<<outputs - 1
	}
	for i, list := range t.values {
		if !t.leaf[i] {
			continue
		}
		var has uint64
		for _, v := range list {
			has |= 1 << v.id
		}
		all[t.tree[i]] &= has
	}
	var any uint64
	for _, m := range all {
		any |= m
	}
	return any == 1<<outputs-1
}

// treeEnsemble reads the operator of ai.onnx.ml version 5: inner nodes and leaves are numbered
// apart.
func (e *onnxEval) treeEnsemble(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	outputs := int64(1)
	if a := n.attrs["n_targets"]; a != nil {
		outputs = a.i
	}
	if outputs < 1 || outputs > ensemble.MaxOutputs {
		return nil, refused("n_targets %d, must be 1 to %d", outputs, ensemble.MaxOutputs)
	}
	average := false
	switch a := n.attrs["aggregate_function"]; {
	case a == nil || a.i == 1:
	case a.i == 0:
		average = true
	default:
		return nil, refused("aggregate_function %d, know 0 (average) and 1 (sum)", a.i)
	}
	post := "NONE"
	if a := n.attrs["post_transform"]; a != nil {
		names := []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}
		if a.i < 0 || a.i >= int64(len(names)) {
			return nil, damaged("post_transform %d", a.i)
		}
		post = names[a.i]
	}
	g := newGrove(e, v, int(outputs))
	t, err := e.readTrees5(n, v, g)
	if err != nil {
		return nil, err
	}
	if err := t.fill(g, average); err != nil {
		return nil, err
	}
	st, err := posted(stageOf(v, g), post)
	if err != nil {
		return nil, err
	}
	return &onnxValue{outs: st.all(), elem: v.elem}, nil
}

// modes5 are the modes of version 5 by number.
var modes5 = [...]string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"}

// tensorOf reads an attribute that is a tensor.
func tensorOf(n *onnxNode, key string) ([]float64, error) {
	a := n.attrs[key]
	if a == nil || a.t == nil {
		return nil, nil
	}
	return a.t.numbers()
}

func (e *onnxEval) readTrees5(n *onnxNode, v *onnxValue, g *grove) (*onnxTrees, error) {
	features, yes, no := intsOf(n, "nodes_featureids"), intsOf(n, "nodes_truenodeids"), intsOf(n, "nodes_falsenodeids")
	yesLeaf, noLeaf, roots := intsOf(n, "nodes_trueleafs"), intsOf(n, "nodes_falseleafs"), intsOf(n, "tree_roots")
	tracks, targets := intsOf(n, "nodes_missing_value_tracks_true"), intsOf(n, "leaf_targetids")
	splits, err := tensorOf(n, "nodes_splits")
	if err != nil {
		return nil, err
	}
	modes, err := modesOf(n)
	if err != nil {
		return nil, err
	}
	weights, err := tensorOf(n, "leaf_weights")
	if err != nil {
		return nil, err
	}
	count := len(features)
	if len(yes) != count || len(no) != count || len(yesLeaf) != count || len(noLeaf) != count || len(splits) != count || len(modes) != count || len(tracks) != 0 && len(tracks) != count {
		return nil, damaged("%d nodes_featureids, %d nodes_truenodeids, %d nodes_falsenodeids, %d nodes_trueleafs, %d nodes_falseleafs, %d nodes_splits and %d nodes_modes: must be as many of each",
			count, len(yes), len(no), len(yesLeaf), len(noLeaf), len(splits), len(modes))
	}
	if len(targets) != len(weights) || len(targets) == 0 || len(roots) == 0 || len(roots) > ensemble.MaxTrees || count+len(targets) > ensemble.MaxNodes || count == 0 {
		return nil, damaged("%d leaf_targetids, %d leaf_weights, %d tree_roots and %d nodes", len(targets), len(weights), len(roots), count)
	}
	members, err := e.members(n, modes)
	if err != nil {
		return nil, err
	}
	// Positions: the inner nodes, then the leaves. A root with the same leaf on both sides is a
	// tree of one leaf.
	total := count + len(targets)
	t := &onnxTrees{
		nodes:  make([]ensemble.Node, total),
		leaf:   make([]bool, total),
		values: make([][]leafValue, total),
		tree:   slices.Repeat([]int{-1}, total),
		local:  make([]int, total),
		gone:   make([]bool, total),
		number: len(roots),
		single: isSingle(v.elem),
	}
	for k, w := range weights {
		if targets[k] < 0 || targets[k] >= int64(g.outputs) || math.IsNaN(w) || math.IsInf(w, 0) {
			return nil, damaged("leaf %d adds %v to output %d, must be 0 to %d", k, w, targets[k], g.outputs-1)
		}
		t.leaf[count+k] = true
		t.values[count+k] = []leafValue{{int(targets[k]), w}}
	}
	child := func(id, isLeaf int64) (int, error) {
		switch {
		case isLeaf != 0 && id >= 0 && id < int64(len(targets)):
			return count + int(id), nil
		case isLeaf == 0 && id >= 0 && id < int64(count):
			return int(id), nil
		}
		return 0, damaged("a node has child %d of %d nodes and %d leaves", id, count, len(targets))
	}
	for i := range count {
		a, err := child(yes[i], yesLeaf[i])
		if err != nil {
			return nil, err
		}
		b, err := child(no[i], noLeaf[i])
		if err != nil {
			return nil, err
		}
		if a == b {
			t.nodes[i].Left, t.nodes[i].Right = a, b // only a root may have it; see plant
			continue
		}
		track := len(tracks) > 0 && tracks[i] != 0
		if modes[i] == 6 {
			if features[i] < 0 || features[i] >= int64(len(v.cols)) {
				return nil, damaged("node %d tests feature %d, must be 0 to %d", i, features[i], len(v.cols)-1)
			}
			t.nodes[i] = ensemble.Node{Feature: int(features[i]), Left: a, Right: b, MissingLeft: track}
			if err := g.set(&t.nodes[i], members[i]); err != nil {
				return nil, err
			}
			continue
		}
		if err := t.branch(g, i, modes5[modes[i]], features[i], len(v.cols), splits[i], a, b, track); err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
	}
	return t, t.plant(roots, count)
}

func modesOf(n *onnxNode) ([]byte, error) {
	a := n.attrs["nodes_modes"]
	if a == nil || a.t == nil {
		return nil, damaged("no nodes_modes")
	}
	size, err := a.t.size()
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, min(size, ensemble.MaxNodes+1))
	if a.t.hasRaw {
		out = append(out, a.t.raw...)
	}
	for _, x := range a.t.ints {
		out = append(out, byte(min(max(x, 0), 255)))
	}
	if len(out) != size {
		return nil, damaged("nodes_modes has %d elements for dimensions %v", len(out), a.t.dims)
	}
	for i, m := range out {
		if int(m) >= len(modes5) {
			return nil, damaged("node %d has mode %d, must be 0 to %d", i, m, len(modes5)-1)
		}
	}
	return out, nil
}

// members reads the sets of BRANCH_MEMBER, by node: one list after the other, each ended by NaN.
func (e *onnxEval) members(n *onnxNode, modes []byte) (map[int][]int, error) {
	list, err := tensorOf(n, "membership_values")
	if err != nil {
		return nil, err
	}
	out, at := map[int][]int{}, 0
	for i, m := range modes {
		if m != 6 {
			continue
		}
		codes := []int{}
		for ; at < len(list) && !math.IsNaN(list[at]); at++ {
			x := list[at]
			if !(x >= 0 && x < maxCodes) || x != math.Trunc(x) {
				return nil, refused("membership value %v, must be a whole number from 0 to %d", x, maxCodes-1)
			}
			codes = append(codes, int(x))
		}
		if at >= len(list) {
			return nil, damaged("membership_values end before the set of node %d does", i)
		}
		at++ // the NaN
		out[i] = codes
	}
	return out, nil
}

// plant walks every tree from its root, finds which nodes belong to it and where they stand in it.
func (t *onnxTrees) plant(roots []int64, count int) error {
	seen := 0
	for k, r := range roots {
		if r < 0 || r >= int64(count) {
			return damaged("tree %d has root %d, must be 0 to %d", k, r, count-1)
		}
		root := int(r)
		if n := &t.nodes[root]; n.Left == n.Right {
			if t.tree[root] >= 0 {
				return damaged("node %d is the root of two trees", root)
			}
			t.tree[root], seen = k, seen+1
			root = n.Left // a tree of one leaf
		}
		t.start = append(t.start, root)
		size, stack := 0, []int{root}
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if t.tree[i] >= 0 {
				return damaged("node or leaf %d has two parents", i)
			}
			t.tree[i], t.local[i] = k, size
			size, seen = size+1, seen+1
			if !t.leaf[i] {
				if t.nodes[i].Left == t.nodes[i].Right {
					return damaged("node %d has the same child on both sides", i)
				}
				stack = append(stack, t.nodes[i].Left, t.nodes[i].Right)
			}
		}
		t.sizes = append(t.sizes, size)
	}
	if seen != len(t.nodes) {
		return damaged("%d nodes or leaves are reached from no root", len(t.nodes)-seen)
	}
	return nil
}
