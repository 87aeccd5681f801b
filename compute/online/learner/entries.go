package learner

import (
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
	"skerry.dev/compute/online/mondrian"
)

// entries are all learners, in the order in which help texts list them.
var entries = []entry{
	{
		name:  "adaptive-forest",
		grows: true,
		does:  "adaptive random forest: ten Hoeffding trees, each replaced when it drifts",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return hoeffding.NewForest(s, ensemble(r))
		},
		value: func(s online.Schema, r *reader) (online.Regressor, error) {
			return hoeffding.NewRegressionForest(s, hoeffding.RegressionForestOptions{
				RegressionOptions: regression(r),
				Trees:             r.int("trees"),
				Lambda:            r.float("lambda"),
			})
		},
	},
	{
		name:  "mondrian-forest",
		grows: true,
		does:  "aggregated Mondrian forest: splits at random, predictions of all depths averaged",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return mondrian.NewClassifier(s, mondrians(r))
		},
		value: func(s online.Schema, r *reader) (online.Regressor, error) {
			return mondrian.NewRegressor(s, mondrians(r))
		},
	},
	{name: "leveraging-bagging", grows: true, does: "ten Hoeffding trees, rows drawn six times on average",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return hoeffding.NewBagging(s, ensemble(r))
		}},
	{name: "random-patches", grows: true, does: "ten Hoeffding trees on random inputs and rows",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return hoeffding.NewPatches(s, ensemble(r))
		}},
	{name: "hoeffding-tree", grows: true, does: "one tree that splits when it is sure to split right",
		class: func(s online.Schema, r *reader) (online.Classifier, error) { return hoeffding.NewTree(s, tree(r)) },
		value: func(s online.Schema, r *reader) (online.Regressor, error) {
			return hoeffding.NewRegressionTree(s, regression(r))
		}},
	{
		name:  "hoeffding-adaptive",
		grows: true,
		does:  "the same, with branches that are replaced when they drift",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: tree(r)})
		},
	},
	{name: "fast-tree", grows: true, does: "EFDT: splits early and revises its splits",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return hoeffding.NewFast(s, hoeffding.FastOptions{Options: tree(r)})
		}},
	{name: "naive-bayes", does: "inputs independent given the class",
		class: func(s online.Schema, _ *reader) (online.Classifier, error) { return online.NewBayes(s) }},
	{name: "knn", grows: true, does: "the nearest of the newest rows",
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return online.NewNeighbourClassifier(s, neighbours(r))
		},
		value: func(s online.Schema, r *reader) (online.Regressor, error) {
			return online.NewNeighbourRegressor(s, neighbours(r))
		}},
	linear("linear", "a linear model, steps by AdaGrad", online.AdaGrad),
	linear("linear-sgd", "the same by plain gradient steps", online.SGD),
	linear("ftrl", "the same by FTRL-proximal, for many inputs of which few matter", online.FTRL),
	linear("passive-aggressive", "a linear model that moves only when it was wrong", online.PA),
}

func linear(name, does string, m online.Method) entry {
	options := func(r *reader) online.LinearOptions {
		o := online.LinearOptions{Method: m, L2: r.float("l2")}
		switch m {
		case online.PA:
			o.C = r.float("c")
		case online.FTRL:
			o.Rate, o.L1 = r.float("rate"), r.float("l1")
		default:
			o.Rate = r.float("rate")
		}
		return o
	}
	return entry{name: name, does: does,
		class: func(s online.Schema, r *reader) (online.Classifier, error) {
			return online.NewLinearClassifier(s, options(r))
		},
		value: func(s online.Schema, r *reader) (online.Regressor, error) {
			return online.NewLinearRegressor(s, options(r))
		}}
}

func neighbours(r *reader) online.NeighbourOptions {
	return online.NeighbourOptions{K: r.int("k"), Window: r.int("window"), MaxBytes: r.int("max_bytes")}
}

func tree(r *reader) hoeffding.Options {
	return hoeffding.Options{
		Grace:    r.float("grace"),
		Delta:    r.float("delta"),
		Tau:      r.float("tau"),
		Points:   r.int("points"),
		MaxDepth: r.int("max_depth"),
		MaxBytes: r.int("max_bytes"),
		Seed:     r.seed,
	}
}

func ensemble(r *reader) hoeffding.EnsembleOptions {
	return hoeffding.EnsembleOptions{
		Options: tree(r),
		Trees:   r.int("trees"),
		Lambda:  r.float("lambda"),
		Inputs:  r.int("inputs"),
		Warning: r.float("warning"),
		Drift:   r.float("drift"),
	}
}

func regression(r *reader) hoeffding.RegressionOptions {
	return hoeffding.RegressionOptions{
		Grace:    r.float("grace"),
		Delta:    r.float("delta"),
		Tau:      r.float("tau"),
		MaxDepth: r.int("max_depth"),
		MaxBytes: r.int("max_bytes"),
		Seed:     r.seed,
	}
}

func mondrians(r *reader) mondrian.Options {
	return mondrian.Options{
		Trees:     r.int("trees"),
		Step:      r.float("step"),
		Dirichlet: r.float("dirichlet"),
		MaxBytes:  r.int("max_bytes"),
		Seed:      r.seed,
	}
}
