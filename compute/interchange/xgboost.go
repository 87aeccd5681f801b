package interchange

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
)

// xgbModel is what a file declares, before it is checked as a whole.
type xgbModel struct {
	version    []float64
	booster    string
	names      []string
	params     map[string]string // learner_model_param
	objective  string
	best       string // attribute best_iteration
	quantiles  string // quantile_alpha of reg:quantileerror
	g          grove
	info       []float64 // tree_info
	drop       []float64 // weight_drop of dart
	linear     []float64 // weights of gblinear
	categories [][]string
	leafSize   int // values per leaf of all trees, 0 before the first
	seen       bool
}

// ImportXGBoostJSON reads a model that XGBoost 1.0 to 3.x saved as JSON.
func ImportXGBoostJSON(b []byte, o Options) (*Model, error) {
	return importXGBoost(b, XGBoostJSON, &jsonSource{b: b}, o)
}

// ImportXGBoostUBJ reads a model that XGBoost 1.6 to 3.x saved as UBJSON.
func ImportXGBoostUBJ(b []byte, o Options) (*Model, error) {
	return importXGBoost(b, XGBoostUBJ, &ubjSource{b: b}, o)
}

func importXGBoost(b []byte, f Format, s source, o Options) (*Model, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("import %s: %w", f, damaged("%d bytes, at most %d", len(b), MaxBytes))
	}
	x := &xgbModel{params: map[string]string{}}
	m, err := x.read(s)
	if err == nil {
		m.Format = f
		m, err = m.finish(b, o)
	}
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", f, err)
	}
	return m, nil
}

func (x *xgbModel) read(s source) (*Model, error) {
	err := s.object(func(key string) error {
		switch key {
		case "learner":
			if x.seen {
				return damaged("learner stands twice")
			}
			x.seen = true
			return x.learner(s)
		case "version":
			var err error
			x.version, err = s.numbers(nil, 8)
			return err
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	if !x.seen {
		return nil, damaged("no \"learner\" at the top: this is no XGBoost model (a configuration, or a model of another library?)")
	}
	return x.model()
}

func (x *xgbModel) learner(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "attributes":
			return s.object(func(key string) error {
				if key == "best_iteration" {
					x.best, err = s.text()
					return err
				}
				return s.skip()
			})
		case "feature_names":
			x.names, err = texts(s, maxFeatures)
		case "learner_model_param":
			return s.object(func(key string) error {
				if len(x.params) > 32 {
					return damaged("learner_model_param has more than 32 entries")
				}
				x.params[key], err = s.text()
				return err
			})
		case "objective":
			return s.object(func(key string) error {
				switch key {
				case "name":
					x.objective, err = s.text()
					return err
				case "quantile_loss_param":
					return s.object(func(key string) error {
						if key == "quantile_alpha" {
							x.quantiles, err = s.text()
							return err
						}
						return s.skip()
					})
				}
				return s.skip()
			})
		case "gradient_booster":
			if err := x.gradientBooster(s, 0); err != nil {
				return fmt.Errorf("gradient_booster: %w", err)
			}
			return nil
		default:
			return s.skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// texts reads an array of strings.
func texts(s source, limit int) (out []string, err error) {
	err = s.array(func() error {
		if len(out) >= limit {
			return damaged("more than %d entries: the limit of a pipeline's inputs", limit)
		}
		t, err := s.text()
		out = append(out, t)
		return err
	})
	return out, err
}

// gradientBooster reads gbtree, gblinear or dart, which wraps a gbtree.
func (x *xgbModel) gradientBooster(s source, level int) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "name":
			name, err := s.text()
			if level == 0 {
				x.booster = name
			}
			return err
		case "gbtree":
			if level > 0 {
				return damaged("a gbtree inside a gbtree")
			}
			return x.gradientBooster(s, level+1)
		case "weight_drop":
			x.drop, err = s.numbers(nil, ensemble.MaxTrees)
			return err
		case "model":
			return x.boosterModel(s)
		}
		return s.skip()
	})
}

func (x *xgbModel) boosterModel(s source) error {
	if x.g.trees != nil || x.linear != nil {
		return damaged("a second model")
	}
	return s.object(func(key string) (err error) {
		switch key {
		case "tree_info":
			x.info, err = s.numbers(nil, ensemble.MaxTrees)
		case "weights":
			x.linear, err = s.numbers(nil, (maxFeatures+1)*ensemble.MaxOutputs)
		case "cats":
			err = x.cats(s)
		case "trees":
			r := &xgbTree{}
			err = s.array(func() error {
				if err := r.read(s); err != nil {
					return fmt.Errorf("tree %d: %w", len(x.g.trees), err)
				}
				if err := x.tree(r); err != nil {
					return fmt.Errorf("tree %d: %w", len(x.g.trees), err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		default:
			err = s.skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// cats reads the names of the training categories, which XGBoost 3.1 and later keep: per feature
// an object, empty for a feature without.
func (x *xgbModel) cats(s source) error {
	return s.object(func(key string) error {
		if key != "enc" {
			return s.skip()
		}
		return s.array(func() error {
			if len(x.categories) >= maxFeatures {
				return damaged("more than %d features", maxFeatures)
			}
			names, err := x.encoding(s)
			x.categories = append(x.categories, names)
			return err
		})
	})
}

// encoding reads one feature's categories: numbers in "values", or strings as one text in
// "values" cut at "offsets".
func (x *xgbModel) encoding(s source) (names []string, err error) {
	var offsets, values []float64
	err = s.object(func(key string) error {
		switch key {
		case "offsets":
			offsets, err = s.numbers(nil, maxCodes+1)
			return err
		case "values":
			values, err = s.numbers(nil, 1<<24)
			return err
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	if offsets == nil {
		if len(values) > maxCodes {
			return nil, refused("%d categories, at most %d", len(values), maxCodes)
		}
		for _, v := range values {
			names = append(names, strconv.FormatFloat(v, 'f', -1, 64))
		}
		return names, nil
	}
	text := make([]byte, len(values))
	for i, v := range values {
		text[i] = byte(int(v)) // bytes are written as signed numbers
	}
	for i := 1; i < len(offsets); i++ {
		from, to := offsets[i-1], offsets[i]
		if !(from >= 0 && from <= to && to <= float64(len(text))) {
			return nil, damaged("a category's name goes from %v to %v of %d bytes", from, to, len(text))
		}
		// some versions cut names that are not ASCII short
		names = append(names, strings.ToValidUTF8(string(text[int(from):int(to)]), "�"))
	}
	return names, nil
}

// xgbTree holds the arrays of one tree; they are used again for the next.
type xgbTree struct {
	left, right, index, condition, missing, kind, hessian, weights, leafWeights []float64
	catNodes, catSegments, catSizes, cats                                       []float64
	leafSize, deleted                                                           int
	order                                                                       []int
}

func (r *xgbTree) read(s source) error {
	fields := map[string]*[]float64{"left_children": &r.left, "right_children": &r.right, "split_indices": &r.index, "split_conditions": &r.condition, "default_left": &r.missing,
		"split_type": &r.kind, "sum_hessian": &r.hessian, "base_weights": &r.weights, "leaf_weights": &r.leafWeights, "categories_nodes": &r.catNodes,
		"categories_segments": &r.catSegments, "categories_sizes": &r.catSizes, "categories": &r.cats}
	for _, f := range fields {
		*f = (*f)[:0]
	}
	r.leafSize, r.deleted = 1, 0
	return s.object(func(key string) error {
		if key == "tree_param" {
			return s.object(func(key string) error {
				text, err := s.text()
				if err != nil {
					return err
				}
				switch key {
				case "size_leaf_vector":
					if r.leafSize, err = strconv.Atoi(text); err == nil && (r.leafSize < 0 || r.leafSize > ensemble.MaxOutputs) {
						return damaged("size_leaf_vector is %d, must be 0 to %d", r.leafSize, ensemble.MaxOutputs)
					}
				case "num_deleted":
					r.deleted, err = strconv.Atoi(text)
				}
				if err != nil {
					return damaged("tree_param: %s is %.20q, must be a whole number", key, text)
				}
				return nil
			})
		}
		f := fields[key]
		if f == nil {
			return s.skip()
		}
		limit := ensemble.MaxNodes
		if f == &r.weights || f == &r.leafWeights || f == &r.cats {
			limit *= 4
		}
		var err error
		if *f, err = s.numbers((*f)[:0], limit); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
}

// tree turns the arrays into a tree of the nodes that are reached from the root.
func (x *xgbModel) tree(r *xgbTree) error {
	n := len(r.left)
	if n == 0 || len(r.right) != n || len(r.index) != n || len(r.condition) != n || len(r.missing) != n {
		return damaged("%d left_children, %d right_children, %d split_indices, %d split_conditions and %d default_left: must be as many of each, and not 0",
			n, len(r.right), len(r.index), len(r.condition), len(r.missing))
	}
	r.leafSize = max(r.leafSize, 1)
	if x.leafSize == 0 {
		x.leafSize = r.leafSize
		x.g.vector, x.g.outputs = r.leafSize > 1, r.leafSize
		x.g.covers = true
	}
	if r.leafSize != x.leafSize {
		return damaged("leaves have %d values, those of the first tree %d", r.leafSize, x.leafSize)
	}
	if len(r.hessian) != n {
		x.g.covers = false
	}
	if err := r.walk(); err != nil {
		return err
	}
	sets, err := r.sets()
	if err != nil {
		return err
	}
	at := make([]int32, n) // where a node stands in the new tree
	for i, old := range r.order {
		at[old] = int32(i)
	}
	t := make(ensemble.Tree, len(r.order))
	for i, old := range r.order {
		if err := x.node(&t[i], r, old, at, sets); err != nil {
			return fmt.Errorf("node %d: %w", old, err)
		}
	}
	return x.g.add(t, 0)
}

// walk lists the nodes that are reached from the root.
func (r *xgbTree) walk() error {
	n := len(r.left)
	seen := make([]bool, n)
	seen[0] = true
	r.order = append(r.order[:0], 0)
	for i := 0; i < len(r.order); i++ {
		at := r.order[i]
		if r.left[at] == -1 {
			continue
		}
		for _, c := range [2]float64{r.left[at], r.right[at]} {
			if !(c >= 1 && c < float64(n)) || c != math.Trunc(c) {
				return damaged("node %d has child %v, must be 1 to %d: the file is damaged", at, c, n-1)
			}
			if seen[int(c)] {
				return damaged("node %d has child %v, which has another parent already: the file is damaged", at, c)
			}
			seen[int(c)] = true
			r.order = append(r.order, int(c))
		}
	}
	if n-len(r.order) > max(r.deleted, 0) {
		return damaged("%d of %d nodes are not reached from the root and %d are deleted: the file is damaged", n-len(r.order), n, r.deleted)
	}
	return nil
}

// sets reads the categories by node. Those in the set go right.
func (r *xgbTree) sets() (map[int][]int, error) {
	if len(r.catNodes) == 0 {
		return nil, nil
	}
	if len(r.catSegments) != len(r.catNodes) || len(r.catSizes) != len(r.catNodes) {
		return nil, damaged("%d categories_nodes, %d categories_segments and %d categories_sizes: must be as many", len(r.catNodes), len(r.catSegments), len(r.catSizes))
	}
	out, total := make(map[int][]int, len(r.catNodes)), 0.0
	for i, node := range r.catNodes {
		from, size := r.catSegments[i], r.catSizes[i]
		total += size
		if !(node >= 0 && node < float64(len(r.left))) || !(from >= 0 && size >= 0 && from+size <= float64(len(r.cats)) && total <= float64(len(r.cats))) || from != math.Trunc(from) || size != math.Trunc(size) {
			return nil, damaged("categories of node %v are %v from %v on, of %d", node, size, from, len(r.cats))
		}
		codes := make([]int, 0, int(size))
		for _, c := range r.cats[int(from):int(from+size)] {
			if !(c >= 0 && c < maxCodes) || c != math.Trunc(c) {
				return nil, refused("category %v at node %v, must be a whole number from 0 to %d: encode the column with codes below that before training", c, node, maxCodes-1)
			}
			codes = append(codes, int(c))
		}
		out[int(node)] = codes
	}
	return out, nil
}

func (x *xgbModel) node(n *ensemble.Node, r *xgbTree, old int, at []int32, sets map[int][]int) error {
	if x.g.covers {
		if h := r.hessian[old]; h >= 0 && h <= math.MaxFloat32 {
			n.Cover = h
		} else {
			x.g.covers = false
		}
	}
	if r.left[old] == -1 {
		return r.leaf(n, old)
	}
	f := r.index[old]
	if !(f >= 0 && f < maxFeatures) || f != math.Trunc(f) {
		return damaged("split_indices has %v, must be 0 to %d, the limit of a pipeline's inputs", f, maxFeatures-1)
	}
	n.Feature, n.Left, n.Right, n.MissingLeft = int(f), int(at[int(r.left[old])]), int(at[int(r.right[old])]), r.missing[old] != 0
	x.g.inputs = max(x.g.inputs, n.Feature+1)
	kind := 0.0
	if len(r.kind) == len(r.left) {
		kind = r.kind[old]
	}
	if kind == 1 {
		codes, ok := sets[old]
		if !ok {
			return damaged("a split by categories has no entry in categories_nodes")
		}
		// XGBoost sends the categories of the set to the right, this program to the left.
		n.Left, n.Right, n.MissingLeft = n.Right, n.Left, !n.MissingLeft
		return x.g.set(n, codes)
	}
	if kind != 0 {
		return refused("split_type %v, know 0 (number) and 1 (categories)", kind)
	}
	t := float32(r.condition[old])
	if math.IsNaN(float64(t)) {
		return damaged("split_conditions has NaN, must be a number: the file is damaged")
	}
	return comparison(n, below32(t))
}

// below32 returns the threshold t' for which x <= t' is x < t for every float32 x; -Inf when
// nothing finite is below t.
func below32(t float32) float64 {
	if t <= -math.MaxFloat32 {
		return math.Inf(-1)
	}
	return float64(math.Nextafter32(t, float32(math.Inf(-1))))
}

func (r *xgbTree) leaf(n *ensemble.Node, old int) error {
	values := r.condition[old : old+1]
	if k := r.leafSize; k > 1 {
		from, list := float64(old), r.weights
		if len(r.leafWeights) > 0 {
			// the leaf's number stands where its right child would
			from, list = r.right[old], r.leafWeights
		}
		if !(from >= 0 && (from+1)*float64(k) <= float64(len(list))) || from != math.Trunc(from) {
			return damaged("leaf %v of %d values, each with %d", from, len(list), k)
		}
		values = list[int(from)*k:][:k]
	}
	for _, v := range values {
		if math.IsNaN(v) || v < -math.MaxFloat32 || v > math.MaxFloat32 {
			return damaged("a leaf has the value %v, must be finite: train again", v)
		}
	}
	if r.leafSize > 1 {
		n.Values = slices.Clone(values)
		for i, v := range n.Values {
			n.Values[i] = float64(float32(v))
		}
		return nil
	}
	n.Value = float64(float32(values[0]))
	return nil
}

// param returns a whole number of learner_model_param, 0 where it is missing.
func (x *xgbModel) param(key string, hi int) (int, error) {
	text, ok := x.params[key]
	if !ok {
		return 0, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v > hi {
		return 0, damaged("learner_model_param: %s is %.20q, must be 0 to %d", key, text, hi)
	}
	return v, nil
}

// model checks the parts against each other and builds the predictor.
func (x *xgbModel) model() (*Model, error) {
	m := &Model{Objective: x.objective}
	if v := x.version; len(v) == 3 {
		m.Producer = fmt.Sprintf("xgboost %v.%v.%v", v[0], v[1], v[2])
	}
	features, err := x.param("num_feature", maxFeatures)
	if err != nil {
		return nil, err
	}
	classes, err := x.param("num_class", ensemble.MaxOutputs)
	if err != nil {
		return nil, err
	}
	targets, err := x.param("num_target", ensemble.MaxOutputs)
	if err != nil {
		return nil, err
	}
	features = max(features, len(x.names))
	switch {
	case features < 1 || x.g.inputs > features:
		return nil, damaged("num_feature is %d and a tree splits on feature %d", features, x.g.inputs-1)
	case len(x.names) != 0 && len(x.names) != features:
		return nil, damaged("%d feature_names for num_feature %d", len(x.names), features)
	case len(x.categories) > features:
		return nil, damaged("categories of %d features, num_feature is %d", len(x.categories), features)
	}
	outputs := max(classes, targets, 1)
	x.g.inputs = features
	for i := range features {
		in := Input{Name: "f" + strconv.Itoa(i)}
		if len(x.names) > 0 {
			in.Name = x.names[i]
		}
		if i < len(x.categories) {
			in.Categories = x.categories[i]
		}
		m.Inputs, x.g.names = append(m.Inputs, in), append(x.g.names, in.Name)
	}
	o, err := x.link(m, outputs)
	if err != nil {
		return nil, err
	}
	base, err := x.base(outputs, o.margin)
	if err != nil {
		return nil, err
	}
	for w := range strings.SplitSeq(strings.Trim(x.quantiles, "[]"), ",") {
		if q, err := strconv.ParseFloat(strings.TrimSpace(w), 32); err == nil && q > 0 && q < 1 && x.objective == "reg:quantileerror" && len(m.Quantiles) < outputs {
			m.Quantiles = append(m.Quantiles, q)
		}
	}
	if x.best != "" {
		m.Notes = append(m.Notes, fmt.Sprintf("training stopped early at best_iteration %.20s; all trees are used, as Booster.predict does: save booster[:best_iteration+1] to leave out the rest", x.best))
	}
	m.plain()
	switch x.booster {
	case "gbtree", "dart":
		err = x.treeModel(m, outputs, base, o)
	case "gblinear":
		err = x.linearModel(m, outputs, base, o)
	default:
		err = refused("booster %.40q, know gbtree, dart and gblinear", x.booster)
	}
	if err != nil {
		return nil, err
	}
	m.probes = probesOf(m.Predictor, features)
	return m, nil
}

// treeModel packs the trees.
func (x *xgbModel) treeModel(m *Model, outputs int, base []float64, o xgbLink) error {
	g := &x.g
	if len(g.trees) == 0 {
		g.outputs, g.covers = outputs, false
	}
	if g.vector {
		if g.outputs != outputs {
			return damaged("leaves have %d values for %d outputs", g.outputs, outputs)
		}
	} else {
		g.outputs = outputs
		if len(x.info) != len(g.trees) {
			return damaged("tree_info has %d entries for %d trees", len(x.info), len(g.trees))
		}
		for t, k := range x.info {
			if !(k >= 0 && k < float64(outputs)) || k != math.Trunc(k) {
				return damaged("tree_info: tree %d adds to output %v, must be 0 to %d", t, k, outputs-1)
			}
			g.class[t] = int(k)
		}
	}
	if x.booster == "dart" {
		if len(x.drop) != len(g.trees) {
			return damaged("weight_drop has %d entries for %d trees", len(x.drop), len(g.trees))
		}
		for t, w := range x.drop {
			if !(math.Abs(w) <= math.MaxFloat32) {
				return damaged("weight_drop of tree %d is %v, must be finite", t, w)
			}
			for i := range g.trees[t] {
				n := &g.trees[t][i]
				n.Value *= w
				for k := range n.Values {
					n.Values[k] *= w
				}
			}
		}
	}
	g.base, g.round32 = base, true
	if len(g.sets) > 0 {
		m.Notes = append(m.Notes, "categorical inputs take whole numbers; XGBoost would cut off the fraction of others, here they belong to no category")
	}
	var err error
	m.Predictor, err = g.pack(o.link, o.after...)
	return err
}

// linearModel builds gblinear: weights of every feature for all outputs, then the biases. Missing
// values count as 0.
func (x *xgbModel) linearModel(m *Model, outputs int, base []float64, o xgbLink) error {
	features := len(m.Inputs)
	if len(x.linear) != (features+1)*outputs {
		return damaged("%d weights, %d features and %d outputs need %d", len(x.linear), features, outputs, (features+1)*outputs)
	}
	for k := range base {
		base[k] = base[0] // gblinear takes the first of several base scores for every output
	}
	w := make([]float64, features*outputs)
	for i, v := range x.linear {
		f, k := i/outputs, i%outputs
		if f == features {
			base[k] += v
		} else {
			w[k*features+f] = v
		}
	}
	zero := 0.0
	for i := range m.Pipeline.Columns {
		m.Pipeline.Columns[i].Impute = &zero
	}
	link, after := o.link, o.after
	if link == ensemble.Exponential {
		link, after = ensemble.Identity, []chain.Stage{{Op: chain.Exponential}}
	}
	inner, err := linear.New(features, link, base, w)
	if err != nil {
		return damaged("%w", err)
	}
	m.Predictor = inner
	if len(after) > 0 {
		m.Predictor, err = chain.New(nil, inner, after)
	}
	return err
}

// xgbLink is what an objective does with scores.
type xgbLink struct {
	link   ensemble.Link
	after  []chain.Stage
	margin func(float64) float64 // turns base_score into a score
}

func logit(p float64) float64  { return -math.Log(1/p - 1) }
func itself(v float64) float64 { return v }

// link finds what the objective does, the kind and the classes.
func (x *xgbModel) link(m *Model, outputs int) (xgbLink, error) {
	m.Kind = artifact.KindRegression
	binary := func() error {
		if outputs != 1 {
			return refused("objective %s with %d outputs: train one model per target", x.objective, outputs)
		}
		m.Kind, m.Classes = artifact.KindClassification, numbered(2)
		return nil
	}
	switch x.objective {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror":
		return xgbLink{ensemble.Identity, nil, itself}, nil
	case "rank:pairwise", "rank:ndcg", "rank:map":
		m.Notes = append(m.Notes, "a ranking: outputs order rows, their size has no meaning")
		return xgbLink{ensemble.Identity, nil, itself}, nil
	case "reg:logistic":
		return xgbLink{ensemble.Logistic, nil, logit}, nil
	case "binary:logistic":
		return xgbLink{ensemble.Logistic, nil, logit}, binary()
	case "binary:logitraw":
		m.Notes = append(m.Notes, "binary:logitraw: the output is the log-odds of class 1, imported as a regression")
		return xgbLink{ensemble.Identity, nil, itself}, nil
	case "binary:hinge":
		m.Notes = append(m.Notes, "binary:hinge: probabilities are 0 or 1")
		return xgbLink{ensemble.Identity, []chain.Stage{{Op: chain.Step}}, itself}, binary()
	case "multi:softmax", "multi:softprob":
		if outputs < 2 {
			return xgbLink{}, damaged("objective %s with num_class %d, must be 2 or more", x.objective, outputs)
		}
		m.Kind, m.Classes = artifact.KindClassification, numbered(outputs)
		return xgbLink{ensemble.Softmax, nil, itself}, nil
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		if strings.HasPrefix(x.objective, "survival:") {
			m.Notes = append(m.Notes, x.objective+": the output is the hazard ratio (cox) or the survival time (aft)")
		}
		return xgbLink{ensemble.Exponential, nil, math.Log}, nil
	}
	return xgbLink{}, refused("objective %.40q: know reg:squarederror, reg:squaredlogerror, reg:logistic, reg:pseudohubererror, reg:absoluteerror, reg:quantileerror, reg:gamma, reg:tweedie, binary:logistic, binary:logitraw, binary:hinge, multi:softmax, multi:softprob, count:poisson, rank:pairwise, rank:ndcg, rank:map, survival:cox and survival:aft",
		x.objective)
}

// base reads base_score: one number, or since 3.1 a list of one or one per output.
func (x *xgbModel) base(outputs int, margin func(float64) float64) ([]float64, error) {
	text, ok := x.params["base_score"]
	if !ok {
		return nil, damaged("learner_model_param has no base_score")
	}
	if len(text) > 1<<16 {
		return nil, damaged("base_score has %d characters, must be a number or a list of one per output", len(text))
	}
	words := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ",")
	if len(words) != 1 && len(words) != outputs {
		return nil, damaged("base_score has %d values for %d outputs", len(words), outputs)
	}
	base := make([]float64, outputs)
	for k := range base {
		w := strings.TrimSpace(words[min(k, len(words)-1)])
		v, err := strconv.ParseFloat(w, 32)
		if err != nil {
			return nil, damaged("base_score is %.40q, must be a number", w)
		}
		base[k] = margin(float64(float32(v)))
		if math.IsNaN(base[k]) || math.IsInf(base[k], 0) {
			return nil, damaged("base_score %v is outside the range of objective %s", v, x.objective)
		}
	}
	return base, nil
}
