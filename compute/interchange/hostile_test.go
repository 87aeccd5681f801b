package interchange

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// hostile is a damaged or malicious file and part of what the error says.
type hostile struct {
	name string
	file []byte
	want string
}

// smallXGBoost returns a valid model of one tree with two leaves as a tree of values, to be
// changed.
func smallXGBoost() map[string]any {
	tree := map[string]any{"left_children": []any{1, -1, -1}, "right_children": []any{2, -1, -1}, "split_indices": []any{0, 0, 0}, "split_conditions": []any{0.5, 1, 2},
		"default_left": []any{1, 0, 0}, "split_type": []any{0, 0, 0}, "categories": []any{}, "categories_nodes": []any{}, "categories_segments": []any{}, "categories_sizes": []any{},
		"tree_param": map[string]any{"num_deleted": "0", "num_nodes": "3", "size_leaf_vector": "1", "num_feature": "1"}}
	return map[string]any{"version": []any{3, 0, 0}, "learner": map[string]any{"feature_names": []any{}, "feature_types": []any{},
		"learner_model_param": map[string]any{"base_score": "5E-1", "num_class": "0", "num_feature": "2", "num_target": "1"}, "objective": map[string]any{"name": "reg:squarederror"},
		"gradient_booster": map[string]any{"name": "gbtree", "model": map[string]any{"tree_info": []any{0}, "trees": []any{tree}}}}}
}

func at2(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// toUBJ encodes values as UBJSON.
func toUBJ(b []byte, v any) []byte {
	length := func(n int) { b = binary.BigEndian.AppendUint32(append(b, 'l'), uint32(n)) }
	switch v := v.(type) {
	case map[string]any:
		b = append(b, '{')
		for _, k := range []string{"learner", "version", "gradient_booster", "learner_model_param", "objective", "feature_names", "feature_types", "name", "model", "tree_info", "trees"} {
			if x, ok := v[k]; ok {
				length(len(k))
				b = toUBJ(append(b, k...), x)
			}
		}
		for k, x := range v {
			if !bytes.Contains([]byte(" learner version gradient_booster learner_model_param objective feature_names feature_types name model tree_info trees "), []byte(" "+k+" ")) {
				length(len(k))
				b = toUBJ(append(b, k...), x)
			}
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for _, x := range v {
			b = toUBJ(b, x)
		}
		return append(b, ']')
	case string:
		b = append(b, 'S')
		length(len(v))
		return append(b, v...)
	case int:
		return binary.BigEndian.AppendUint64(append(b, 'L'), uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'D'), math.Float64bits(v))
	}
	panic(fmt.Sprintf("%T", v))
}

func jsonBytes(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// graphOf encodes a graph of nodes with an input of two columns and an output.
func graphOf(nodes ...[]byte) []byte {
	var g []byte
	for _, n := range nodes {
		g = blob(g, 1, n)
	}
	g = blob(g, 11, info("X", typeFloat, 2))
	g = blob(g, 12, info("Y", typeFloat, 1))
	return blob(number(nil, 1, 8), 7, g)
}

func nodeOf(domain, op string, in, out string, attrs ...attr) []byte {
	var w onnxWriter
	w.write(domain, op, strings.Fields(in), strings.Fields(out), attrs)
	num, _, n := protowire.ConsumeTag(w.nodes)
	if num != 1 {
		panic("not a node")
	}
	b, _ := protowire.ConsumeBytes(w.nodes[n:])
	return b
}

// treeNode encodes a TreeEnsembleRegressor of one split; change replaces attributes.
func treeNode(change map[string]attr) []byte {
	double := func(name string, v ...float64) attr {
		return attrTensor(name+"_as_tensor", tensorBytes(name, typeDouble, []int{len(v)}, v))
	}
	attrs := map[string]attr{"n_targets": attrInt("n_targets", 1), "nodes_treeids": attrInts("nodes_treeids", []int64{0, 0, 0}), "nodes_nodeids": attrInts("nodes_nodeids", []int64{0, 1, 2}),
		"nodes_featureids": attrInts("nodes_featureids", []int64{0, 0, 0}), "nodes_values": double("nodes_values", 0.5, 0, 0), "nodes_modes": attrStrings("nodes_modes", []string{"BRANCH_LEQ", "LEAF", "LEAF"}),
		"nodes_truenodeids": attrInts("nodes_truenodeids", []int64{1, 0, 0}), "nodes_falsenodeids": attrInts("nodes_falsenodeids", []int64{2, 0, 0}),
		"target_treeids": attrInts("target_treeids", []int64{0, 0}), "target_nodeids": attrInts("target_nodeids", []int64{1, 2}), "target_ids": attrInts("target_ids", []int64{0, 0}),
		"target_weights": double("target_weights", 1, 2)}
	var list []attr
	for k, a := range change {
		attrs[k] = a
	}
	for _, a := range attrs {
		if a != nil {
			list = append(list, a)
		}
	}
	return nodeOf("ai.onnx.ml", "TreeEnsembleRegressor", "X", "Y", list...)
}

func hostileFiles(t testing.TB) []hostile {
	t.Helper()
	var all []hostile
	add := func(name string, file []byte, want string) { all = append(all, hostile{name, file, want}) }
	// Anything.
	add("empty", nil, "first bytes")
	add("one byte", []byte("{"), "first bytes")
	add("text", []byte("hello, world"), "first bytes")
	add("gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "first bytes")
	add("pickle", []byte("\x80\x04\x95\x00\x00"), "first bytes")
	old := append([]byte("binf"), make([]byte, 200)...)
	add("old xgboost, magic", old, "save it as JSON or UBJSON")
	header := make([]byte, 300)
	binary.LittleEndian.PutUint32(header, math.Float32bits(0.5))
	binary.LittleEndian.PutUint32(header[4:], 7)
	add("old xgboost, bare", header, "save it as JSON or UBJSON")

	// LightGBM.
	lgb := string(peerModel(t, "lgb_categories1"))
	sub := func(name, pattern, to, want string) {
		re := regexp.MustCompile(pattern)
		loc := re.FindStringIndex(lgb)
		if loc == nil {
			t.Fatalf("%s: %q is not in the model", name, pattern)
		}
		add("lgb "+name, []byte(lgb[:loc[0]]+to+lgb[loc[1]:]), want)
	}
	sub("num_leaves huge", `num_leaves=\d+`, "num_leaves=1000000000", "num_leaves=1000000000, must be 1")
	sub("num_leaves large", `num_leaves=\d+`, "num_leaves=1000000", "values, must be 1000000")
	sub("num_leaves negative", `num_leaves=\d+`, "num_leaves=-4", "num_leaves=-4")
	sub("num_leaves no number", `num_leaves=\d+`, "num_leaves=x", "must be a whole number")
	sub("num_leaves overflow", `num_leaves=\d+`, "num_leaves=99999999999999999999999", "must be a whole number")
	sub("num_cat", `num_cat=\d+`, "num_cat=1000", "num_cat=1000")
	sub("threshold NaN", `threshold=\S+`, "threshold=nan", "NaN")
	sub("threshold word", `threshold=\S+`, "threshold=abc", "must be a number")
	sub("threshold missing", `threshold=.*\n`, "", "threshold has 0 values")
	sub("leaf NaN", `leaf_value=\S+`, "leaf_value=nan", "must be finite")
	sub("leaf infinite", `leaf_value=\S+`, "leaf_value=inf", "must be finite")
	sub("child out of range", `left_child=\S+`, "left_child=77", "child")
	sub("child far negative", `left_child=\S+`, "left_child=-77", "children")
	sub("child overflow", `left_child=\S+`, "left_child=-9223372036854775808", "children")
	sub("cycle", `left_child=\S+`, "left_child=0", "child")
	sub("two parents", `left_child=\S+ \S+`, "left_child=2 2", "another parent")
	sub("feature out of range", `split_feature=\S+`, "split_feature=99", "split_feature 99")
	sub("decision_type", `decision_type=\S+`, "decision_type=255", "decision_type 255")
	sub("cat_boundaries", `cat_boundaries=0 \S+`, "cat_boundaries=0 999999", "cat_boundaries")
	sub("cat_boundaries back", `cat_boundaries=0 \S+`, "cat_boundaries=0 -5", "cat_boundaries")
	sub("cat_threshold", `cat_threshold=\S+`, "cat_threshold=-1", "cat_threshold")
	sub("linear tree", `is_linear=0`, "is_linear=1", "linear_tree=false")
	sub("objective", `objective=\S+`, "objective=other", "objective \"other\"")
	sub("version", `version=v4`, "version=v9", "format version")
	sub("features", `max_feature_idx=\d+`, "max_feature_idx=999999999", "max_feature_idx")
	sub("outputs", `num_tree_per_iteration=\d+`, "num_tree_per_iteration=100000", "num_tree_per_iteration")
	sub("trees missing", `Tree=1`, "Tree=2", "must be 1")
	sub("key twice", `leaf_value=`, "leaf_value=1\nleaf_value=", "stands twice")
	sub("no equals sign", `num_cat=\d+`, "num_cat", "has no")
	add("lgb deep categories", []byte(lgb+"pandas_categorical:"+strings.Repeat("[", 100000)+"\n"), "nest")
	add("lgb no trees", []byte("tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\n\nend of trees\n"), "no trees")
	add("lgb long header", append([]byte("tree\n"), bytes.Repeat([]byte("a=b\n"), 3)...), "cut short")
	wide := strings.Replace(lgb, "cat_threshold=", "cat_threshold="+strings.Repeat("4294967295 ", 5000), 1)
	add("lgb many categories", []byte(regexp.MustCompile(`cat_boundaries=0 \S+`).ReplaceAllString(wide, "cat_boundaries=0 4000")), "category")

	const inner = 20000
	repeat := func(f func(i int) string) string {
		var b strings.Builder
		for i := range inner {
			b.WriteString(f(i) + " ")
		}
		return strings.TrimSpace(b.String())
	}
	same := func(v string) string { return repeat(func(int) string { return v }) }
	shared := "tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\nobjective=regression\n\nTree=0\nnum_leaves=20001\nnum_cat=1\nsplit_feature=" + same("0") +
		"\nthreshold=" + same("0") + "\ndecision_type=" + same("1") + "\nleft_child=" + repeat(func(i int) string { return fmt.Sprint(-1 - i) }) +
		"\nright_child=" + repeat(func(i int) string {
		if i == inner-1 {
			return fmt.Sprint(-1 - inner)
		}
		return fmt.Sprint(i + 1)
	}) + "\nleaf_value=" + same("1") + " 1\ncat_boundaries=0 2048\ncat_threshold=" + strings.TrimSpace(strings.Repeat("4294967295 ", 2048)) + "\n\nend of trees\n"
	add("lgb one large set at every node", []byte(shared), "codes in all")

	// XGBoost.
	change := func(name string, want string, f func(m map[string]any)) {
		m := smallXGBoost()
		f(m)
		add("json "+name, jsonBytes(m), want)
		add("ubj "+name, toUBJ(nil, m), want)
	}
	tree := func(m map[string]any) map[string]any {
		return at2(m, "learner", "gradient_booster", "model", "trees", 0).(map[string]any)
	}
	param := func(m map[string]any) map[string]any {
		return at2(m, "learner", "learner_model_param").(map[string]any)
	}
	change("no learner", "no \"learner\"", func(m map[string]any) { delete(m, "learner") })
	change("cycle", "another parent", func(m map[string]any) {
		tree(m)["left_children"] = []any{1, 1, -1}
		tree(m)["right_children"] = []any{2, 2, -1}
	})
	change("child is root", "child 0", func(m map[string]any) { tree(m)["left_children"] = []any{0, -1, -1} })
	change("child out of range", "child 9", func(m map[string]any) { tree(m)["left_children"] = []any{9, -1, -1} })
	change("child negative", "child -7", func(m map[string]any) { tree(m)["right_children"] = []any{-7, -1, -1} })
	change("child fraction", "child 1.5", func(m map[string]any) { tree(m)["left_children"] = []any{1.5, -1, -1} })
	change("unreached", "not reached", func(m map[string]any) { tree(m)["left_children"] = []any{-1, -1, -1} })
	change("short array", "must be as many", func(m map[string]any) { tree(m)["split_indices"] = []any{0} })
	change("no nodes", "not 0", func(m map[string]any) { tree(m)["left_children"] = []any{} })
	change("feature huge", "split_indices", func(m map[string]any) { tree(m)["split_indices"] = []any{1e18, 0, 0} })
	change("feature above num_feature", "num_feature", func(m map[string]any) { tree(m)["split_indices"] = []any{5, 0, 0} })
	change("leaf infinite", "finite", func(m map[string]any) { tree(m)["split_conditions"] = []any{0.5, 1e300, 2} })
	change("split_type", "split_type 7", func(m map[string]any) { tree(m)["split_type"] = []any{7, 0, 0} })
	change("categories missing", "categories_nodes", func(m map[string]any) { tree(m)["split_type"] = []any{1, 0, 0} })
	change("categories outside", "categories of node", func(m map[string]any) {
		tree(m)["split_type"] = []any{1, 0, 0}
		tree(m)["categories_nodes"], tree(m)["categories_segments"], tree(m)["categories_sizes"] = []any{0}, []any{0}, []any{1000000000}
	})
	change("category huge", "category 1e+09", func(m map[string]any) {
		tree(m)["split_type"] = []any{1, 0, 0}
		tree(m)["categories_nodes"], tree(m)["categories_segments"], tree(m)["categories_sizes"], tree(m)["categories"] = []any{0}, []any{0}, []any{1}, []any{1e9}
	})
	change("leaf vector", "size_leaf_vector", func(m map[string]any) { at2(tree(m), "tree_param").(map[string]any)["size_leaf_vector"] = "100000" })
	change("leaf vector without values", "leaf", func(m map[string]any) { at2(tree(m), "tree_param").(map[string]any)["size_leaf_vector"] = "3" })
	change("num_class", "num_class", func(m map[string]any) { param(m)["num_class"] = "1000000" })
	change("num_feature", "num_feature", func(m map[string]any) { param(m)["num_feature"] = "-3" })
	change("base_score", "base_score", func(m map[string]any) { param(m)["base_score"] = "many" })
	change("base_score count", "base_score has 3", func(m map[string]any) { param(m)["base_score"] = "[1,2,3]" })
	change("base_score range", "outside the range", func(m map[string]any) {
		at2(m, "learner", "objective").(map[string]any)["name"] = "binary:logistic"
		param(m)["base_score"] = "1"
	})
	change("objective", "objective \"rank:new\"", func(m map[string]any) { at2(m, "learner", "objective").(map[string]any)["name"] = "rank:new" })
	change("booster", "booster", func(m map[string]any) { at2(m, "learner", "gradient_booster").(map[string]any)["name"] = "gbnew" })
	change("tree_info", "tree_info", func(m map[string]any) {
		at2(m, "learner", "gradient_booster", "model").(map[string]any)["tree_info"] = []any{7}
	})
	change("tree_info count", "tree_info", func(m map[string]any) {
		at2(m, "learner", "gradient_booster", "model").(map[string]any)["tree_info"] = []any{}
	})
	change("uneven trees", "spread unevenly", func(m map[string]any) {
		param(m)["num_class"] = "256"
		at2(m, "learner", "objective").(map[string]any)["name"] = "multi:softprob"
		one := map[string]any{"left_children": []any{-1}, "right_children": []any{-1}, "split_indices": []any{0}, "split_conditions": []any{0.5}, "default_left": []any{0}}
		model := at2(m, "learner", "gradient_booster", "model").(map[string]any)
		trees, info := make([]any, 2000), make([]any, 2000)
		for i := range trees {
			trees[i], info[i] = one, 0
		}
		model["trees"], model["tree_info"] = trees, info
	})
	change("trees of another type", "array", func(m map[string]any) {
		at2(m, "learner", "gradient_booster", "model").(map[string]any)["trees"] = "none"
	})
	change("numbers of another type", "left_children", func(m map[string]any) { tree(m)["left_children"] = []any{"a"} })
	plain := jsonBytes(smallXGBoost())
	add("json deep", []byte(`{"a":`+strings.Repeat("[", 1000000)), "nest deeper")
	add("json deep objects", []byte(strings.Repeat(`{"a":`, 1000000)), "nest deeper")
	add("json threshold NaN", bytes.Replace(plain, []byte("[0.5,1,2]"), []byte("[NaN,1,2]"), 1), "NaN")
	add("json leaf NaN", bytes.Replace(plain, []byte("[0.5,1,2]"), []byte("[0.5,NaN,2]"), 1), "finite")
	add("json learner twice", append(append([]byte(`{"learner":{},`), plain[1:]...), ' '), "stands twice")
	add("json rest", append(bytes.Clone(plain), "{}"...), "end of the file")
	add("json escape", []byte(`{"a\q":1}`), "escape")
	add("json unicode", []byte(`{"a\u12":1}`), "hexadecimal")
	add("json open string", []byte(`{"abc`), "end of a string")
	add("json other model", []byte(`{"trees":[],"config":{}}`), "no \"learner\"")
	ubj := func(s string) []byte { return []byte(s) }
	add("ubj huge array", ubj("{l\x00\x00\x00\x07version[$D#l\x7f\xff\xff\xff"), "length")
	add("ubj huge array, 64 bits", ubj("{l\x00\x00\x00\x07version[$D#L\x7f\xff\xff\xff\xff\xff\xff\xff"), "length")
	add("ubj negative length", ubj("{l\xff\xff\xff\xff"), "length -1")
	add("ubj negative count", ubj("{i\x07version[#i\xf0"), "length")
	add("ubj nothing typed", ubj("{i\x01a[$Z#l\x7f\xff\xff\xff"), "type")
	add("ubj typed longer than the file", append(ubj("{i\x07version[$D#i\x20"), make([]byte, 100)...), "numbers of 8 bytes")
	add("ubj deep", append(ubj("{i\x01a"), bytes.Repeat([]byte("["), 1000000)...), "nest deeper")
	add("ubj float length", ubj("{d\x3f\x80\x00\x00a"), "no known first bytes")
	all[len(all)-1].want = "" // found out by the detection or the reader
	add("ubj no-ops", append(ubj("{i\x01a"), bytes.Repeat([]byte("N"), 1000000)...), "cut short")

	// ONNX.
	onnx := func(name, want string, file []byte) { add("onnx "+name, file, want) }
	trees := func(name, want string, key string, a attr) {
		onnx("trees "+name, want, graphOf(treeNode(map[string]attr{key: a})))
	}
	double := func(name string, v ...float64) attr {
		return attrTensor(name+"_as_tensor", tensorBytes(name, typeDouble, []int{len(v)}, v))
	}
	trees("cycle", "root", "nodes_truenodeids", attrInts("nodes_truenodeids", []int64{0, 0, 0}))
	trees("same child", "parent", "nodes_truenodeids", attrInts("nodes_truenodeids", []int64{2, 0, 0}))
	trees("child outside", "child 9", "nodes_truenodeids", attrInts("nodes_truenodeids", []int64{9, 0, 0}))
	trees("child negative", "child -9", "nodes_truenodeids", attrInts("nodes_truenodeids", []int64{-9, 0, 0}))
	trees("feature", "feature 7", "nodes_featureids", attrInts("nodes_featureids", []int64{7, 0, 0}))
	trees("mode", "BRANCH_X", "nodes_modes", attrStrings("nodes_modes", []string{"BRANCH_X", "LEAF", "LEAF"}))
	trees("NaN", "NaN", "nodes_values", double("nodes_values", math.NaN(), 0, 0))
	trees("weight", "finite", "target_weights", double("target_weights", math.Inf(1), 0))
	trees("counts", "as many", "nodes_nodeids", attrInts("nodes_nodeids", []int64{0, 1}))
	trees("twice", "stands twice", "nodes_nodeids", attrInts("nodes_nodeids", []int64{0, 1, 1}))
	trees("target", "output 5", "target_ids", attrInts("target_ids", []int64{0, 5}))
	trees("no leaf", "no leaf", "target_nodeids", attrInts("target_nodeids", []int64{0, 2}))
	trees("outputs", "n_targets", "n_targets", attrInt("n_targets", 1<<40))
	trees("aggregate", "MAX", "aggregate_function", attrText("aggregate_function", "MAX"))
	trees("post_transform", "PROBIT", "post_transform", attrText("post_transform", "PROBIT"))
	trees("base", "base_values", "base_values", double("base_values", 1, 2, 3))
	trees("tensor size", "elements", "nodes_values", attrTensor("nodes_values_as_tensor", tensorBytes("v", typeDouble, []int{1 << 30, 1 << 30}, nil)))
	trees("tensor short", "bytes for dimensions", "nodes_values", attrTensor("nodes_values_as_tensor", tensorBytes("v", typeDouble, []int{3}, []float64{1})))
	onnx("operator", "LSTM", graphOf(nodeOf("", "LSTM", "X", "Y")))
	onnx("domain", "com.microsoft", graphOf(nodeOf("com.microsoft", "FusedMatMul", "X", "Y")))
	onnx("undefined input", "made by no node", graphOf(nodeOf("", "Relu", "Z", "Y")))
	onnx("circle", "made by no node", graphOf(nodeOf("", "Identity", "Y", "Z"), nodeOf("", "Identity", "Z", "Y")))
	onnx("made twice", "two nodes make", graphOf(nodeOf("", "Identity", "X", "Y"), nodeOf("", "Identity", "X", "Y")))
	onnx("no model", "does not come from a model", graphOf(nodeOf("", "Identity", "X", "Y")))
	onnx("no graph", "no graph", number(nil, 1, 8))
	onnx("garbage", "damaged", append(number(nil, 1, 8), 0xff, 0xff, 0xff))
	onnx("length beyond the end", "cut short", append(number(nil, 1, 8), 0x3a, 0xff, 0xff, 0xff, 0x7f))
	onnx("group", "wire type", append(number(nil, 1, 8), 0x3b))
	var many []byte
	for range 400000 {
		many = blob(many, 1, nil)
	}
	onnx("many empty nodes", "more than", blob(number(nil, 1, 8), 7, many))
	var doubling [][]byte
	name := "X"
	for i := range 40 {
		next := fmt.Sprintf("c%d", i)
		doubling = append(doubling, nodeOf("", "Concat", name+" "+name, next, attrInt("axis", 1)))
		name = next
	}
	onnx("doubling", "columns", graphOf(append(doubling, nodeOf("", "Identity", name, "Y"))...))
	onnx("subgraph", "holds a graph", graphOf(nodeOf("", "If", "X", "Y", blob(text(nil, 1, "then_branch"), 6, nil))))
	onnx("no input", "no input", graphOf(nodeOf("", "Relu", "", "Y")))
	onnx("scaler", "numbers for", graphOf(nodeOf("ai.onnx.ml", "Scaler", "X", "Y", floatsAttr("scale", 1, 2, 3), floatsAttr("offset", 1, 2, 3))))
	onnx("imputer NaN", "must be finite", graphOf(nodeOf("ai.onnx.ml", "Imputer", "X", "Z", floatsAttr("imputed_value_floats", math.NaN()), attrFloat("replaced_value_float", float32(math.NaN()))), nodeOf("", "Identity", "Z", "Y")))
	onnx("tanh", "Relu or Gelu", graphOf(nodeOf("ai.onnx.ml", "LinearRegressor", "X", "Z", floatsAttr("coefficients", 1, 2)), nodeOf("", "Tanh", "Z", "Y")))
	return all
}

func floatsAttr(name string, v ...float64) attr {
	var packed []byte
	for _, x := range v {
		packed = protowire.AppendFixed32(packed, math.Float32bits(float32(x)))
	}
	return number(blob(text(nil, 1, name), 7, packed), 20, 6)
}

// TestHostileFiles holds that every damaged file is refused with an error that says what is
// wrong, within two seconds and 32 MiB.
func TestHostileFiles(t *testing.T) {
	files := hostileFiles(t)
	if len(files) < 60 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			err := bounded(t, f.file)
			if err == nil {
				t.Fatal("accepted")
			}
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%v wraps neither ErrFormat nor ErrUnsupported", err)
			}
			if !strings.Contains(err.Error(), f.want) || len(err.Error()) > 1000 {
				t.Errorf("error %q, want %q in it", err, f.want)
			}
		})
	}
	t.Logf("%d files", len(files))
}

// bounded imports a file and checks time and memory.
func bounded(t *testing.T, b []byte) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_, err := ImportBytes(b, Options{})
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 32<<20 {
		t.Errorf("%d bytes are allocated for a file of %d", grown, len(b))
	}
	if took > 2*time.Second {
		t.Errorf("it takes %v", took)
	}
	return err
}

// TestTruncatedFiles cuts good files at many points. What is cut is refused, or, behind the last
// that matters, reads the same.
func TestTruncatedFiles(t *testing.T) {
	for _, name := range []string{"lgb_categories1", "lgb_multiclass", "xgb32_categories", "xgb17_softmax", "xgb32_dart", "xgb32_pandas_ubj", "onnx_gbc3", "onnx_mlpc2", "onnx_modes_v5_double"} {
		b := peerModel(t, name)
		for i := range 120 {
			n := len(b) * i / 120
			if err := bounded(t, b[:n]); err == nil && !(strings.HasPrefix(name, "lgb") && bytes.Contains(b[:n], []byte("end of trees"))) {
				t.Errorf("%s cut to %d of %d bytes is accepted", name, n, len(b))
			}
		}
	}
}

// TestFlippedBits changes bytes at random: an error or a model, never a panic, and what is
// accepted makes an artifact or says why not.
func TestFlippedBits(t *testing.T) {
	seed := uint64(1)
	next := func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
	for _, name := range []string{"lgb_categories0", "xgb32_softprob", "xgb21_dart", "xgb32_multi_tree", "onnx_rfc3", "onnx_pipe_onehot", "onnx_lgb_categories", "onnx_modes_v5_float"} {
		good := peerModel(t, name)
		for range 300 {
			b := bytes.Clone(good)
			for range 1 + next(4) {
				b[next(len(b))] ^= 1 << next(8)
			}
			m, err := ImportBytes(b, Options{})
			if err != nil {
				continue
			}
			_, _ = m.Artifact("t", "y")
		}
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := Import(bytes.NewReader(nil), MaxBytes+1, Options{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a file of %d bytes: %v", MaxBytes+1, err)
	}
}
