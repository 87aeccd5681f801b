package interchange

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// maxSetCodes bounds the codes in all sets of categories together.
const maxSetCodes = 1 << 22

// grove collects the trees of a foreign ensemble until they can be packed.
type grove struct {
	inputs  int
	outputs int
	base    []float64
	trees   []ensemble.Tree
	class   []int // output of each tree; nil when trees come in turns or leaves are vectors
	vector  bool
	round32 bool
	covers  bool
	nodes   int
	sets    map[*ensemble.Node][]uint16 // category sets, ascending, before they become bits
	codes   int                         // in all sets
	zero    []bool                      // by input: |x| <= 1e-35 is missing
	names   []string
	first   []chain.Stage // steps before all others
}

// add appends a tree after checking its size. output is where it adds to, ignored with vector
// leaves.
func (g *grove) add(t ensemble.Tree, output int) error {
	if g.nodes += len(t); g.nodes > ensemble.MaxNodes || len(g.trees) >= ensemble.MaxTrees {
		return refused("more than %d trees or %d nodes: train a smaller model", ensemble.MaxTrees, ensemble.MaxNodes)
	}
	if err := treeShape(t); err != nil {
		return err
	}
	g.trees, g.class = append(g.trees, t), append(g.class, output)
	return nil
}

// treeShape holds that the nodes form one tree from node 0.
func treeShape(t ensemble.Tree) error {
	if len(t) == 0 {
		return damaged("a tree has no nodes")
	}
	parent := make([]bool, len(t))
	for i := range t {
		n := &t[i]
		if n.Left == 0 && n.Right == 0 {
			continue
		}
		for _, c := range [2]int{n.Left, n.Right} {
			switch {
			case c <= 0 || c >= len(t):
				return damaged("node %d has child %d, must be 1 to %d: the file is damaged", i, c, len(t)-1)
			case parent[c]:
				return damaged("node %d has child %d, which has another parent already: the file is damaged", i, c)
			}
			parent[c] = true
		}
	}
	// Every node but the root has at most one parent; if all have one and none is reached from
	// itself, the nodes are a tree. Nodes on a cycle are not reached from the root.
	seen, stack := 0, []int{0}
	for len(stack) > 0 {
		n := &t[stack[len(stack)-1]]
		stack = stack[:len(stack)-1]
		if seen++; n.Left != 0 {
			stack = append(stack, n.Left, n.Right)
		}
	}
	if seen != len(t) {
		return damaged("%d of %d nodes are not reached from the root: the file is damaged", len(t)-seen, len(t))
	}
	return nil
}

// never makes a node that sends every number to Right.
func never(n *ensemble.Node) { n.Categories, n.Threshold = new([4]uint64), 0 }

// comparison sets x <= threshold, also where the threshold is infinite.
func comparison(n *ensemble.Node, threshold float64) error {
	switch {
	case math.IsNaN(threshold):
		return damaged("a threshold is NaN, must be a number: the file is damaged")
	case math.IsInf(threshold, -1):
		never(n)
	case math.IsInf(threshold, 1):
		n.Left, n.Right, n.MissingLeft = n.Right, n.Left, !n.MissingLeft
		never(n)
	default:
		n.Threshold = threshold
	}
	return nil
}

// set remembers the categories that go left at a node; codes are below maxCodes.
func (g *grove) set(n *ensemble.Node, codes []int) error {
	if g.codes += len(codes); g.codes > maxSetCodes {
		return refused("the sets of categories hold more than %d codes in all: join rare categories before training", maxSetCodes)
	}
	if g.sets == nil {
		g.sets = map[*ensemble.Node][]uint16{}
	}
	list := make([]uint16, len(codes))
	for i, c := range codes {
		list[i] = uint16(c)
	}
	slices.Sort(list)
	g.sets[n] = slices.Compact(list)
	n.Categories = new([4]uint64)
	return nil
}

// pack makes the predictor: link and after are applied to the sums. Categories above 255 are
// renumbered by what the trees do with them.
func (g *grove) pack(link ensemble.Link, after ...chain.Stage) (artifact.Predictor, error) {
	before := slices.Clone(g.first)
	for i := 0; i < len(g.zero); i++ {
		if from := i; g.zero[i] {
			for i < len(g.zero) && g.zero[i] {
				i++
			}
			before = append(before, chain.Stage{Op: chain.ZeroMissing, From: from, To: i})
		}
	}
	remaps, err := g.fillSets()
	if err != nil {
		return nil, err
	}
	before = append(before, remaps...)
	if len(before) > chain.MaxSteps {
		return nil, refused("%d steps before the trees (runs of inputs whose zeros are missing, inputs with more than 256 categories), at most %d: use missing values instead of zero_as_missing",
			len(before), chain.MaxSteps)
	}
	trees := g.trees
	if !g.vector {
		if trees, err = g.inTurns(); err != nil {
			return nil, err
		}
	}
	e, err := ensemble.Build(ensemble.Spec{
		Inputs:  g.inputs,
		Link:    link,
		Base:    g.base,
		Vector:  g.vector,
		Round32: g.round32,
		Covers:  g.covers,
	}, trees)
	if err != nil {
		return nil, damaged("%w", err)
	}
	if len(before)+len(after) == 0 {
		return e, nil
	}
	return chain.New(before, e, after)
}

// inTurns orders the trees so that tree t adds to output t mod outputs, with trees of one zero
// leaf where an output has fewer than another.
func (g *grove) inTurns() ([]ensemble.Tree, error) {
	by := make([][]ensemble.Tree, g.outputs)
	rounds := 0
	for t, k := range g.class {
		by[k] = append(by[k], g.trees[t])
		rounds = max(rounds, len(by[k]))
	}
	if rounds > ensemble.MaxTrees/g.outputs {
		return nil, refused("%d trees for one of %d outputs, at most %d: the trees are spread unevenly or too many", rounds, g.outputs, ensemble.MaxTrees/g.outputs)
	}
	out := make([]ensemble.Tree, 0, rounds*g.outputs)
	for r := range rounds {
		for _, list := range by {
			if r < len(list) {
				out = append(out, list[r])
			} else {
				out = append(out, ensemble.Tree{{}})
			}
		}
	}
	return out, nil
}

// fillSets turns the category codes of all nodes into bits and returns the renumbering of the
// inputs with codes above 255.
func (g *grove) fillSets() ([]chain.Stage, error) {
	wide := map[int][]*ensemble.Node{}
	for _, t := range g.trees {
		for i := range t {
			n := &t[i]
			if codes, ok := g.sets[n]; ok && len(codes) > 0 && codes[len(codes)-1] > 255 {
				wide[n.Feature] = nil
			}
		}
	}
	for _, t := range g.trees { // in tree order: the numbers must not depend on the map's
		for i := range t {
			n := &t[i]
			codes, ok := g.sets[n]
			if !ok {
				continue
			}
			if _, ok := wide[n.Feature]; ok {
				wide[n.Feature] = append(wide[n.Feature], n)
				continue
			}
			for _, c := range codes {
				n.Categories[c/64] |= 1 << (c % 64)
			}
		}
	}
	inputs := make([]int, 0, len(wide))
	for f := range wide {
		inputs = append(inputs, f)
	}
	sort.Ints(inputs)
	var stages []chain.Stage
	for _, f := range inputs {
		s, err := g.renumber(f, wide[f])
		if err != nil {
			return nil, err
		}
		stages = append(stages, s)
	}
	return stages, nil
}

// renumber splits the codes of one input into groups that no node distinguishes, and gives every
// group a number. Group 0 is what no set names.
func (g *grove) renumber(input int, nodes []*ensemble.Node) (chain.Stage, error) {
	top := 0
	for _, n := range nodes {
		for _, c := range g.sets[n] {
			top = max(top, int(c))
		}
	}
	group, size := make([]float64, top+1), []int{top + 1}
	for _, n := range nodes {
		in := map[int]int{} // group → how many of it are in the set
		for _, c := range g.sets[n] {
			in[int(group[c])]++
		}
		moved := map[int]int{} // group → the part of it that is in the set
		for _, c := range g.sets[n] {
			from := int(group[c])
			if from != 0 && in[from] == size[from] {
				continue // the whole group is in the set
			}
			to, ok := moved[from]
			if !ok {
				to = len(size)
				moved[from], size = to, append(size, 0)
			}
			group[c] = float64(to)
			size[to]++
		}
		for from, to := range moved {
			size[from] -= size[to]
		}
		if len(size) > 256 {
			return chain.Stage{}, refused("input %q has categories up to %d that fall into more than 256 groups, an ensemble distinguishes at most 256: join rare categories, or encode them as numbers, before training",
				g.name(input), top)
		}
	}
	for _, n := range nodes {
		for _, c := range g.sets[n] {
			v := int(group[c])
			n.Categories[v/64] |= 1 << (v % 64)
		}
	}
	return chain.Stage{Op: chain.Remap, From: input, To: input + 1, Values: group}, nil
}

func (g *grove) name(input int) string {
	if input < len(g.names) && g.names[input] != "" {
		return g.names[input]
	}
	return fmt.Sprint(input)
}
