package interchange

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// TestOperatorsThatAreRefused gives every family of operators what it cannot be converted from: the
// error names the operator and what is wrong with it.
func TestOperatorsThatAreRefused(t *testing.T) {
	const ml = "ai.onnx.ml"
	linear := nodeOf(ml, "LinearRegressor", "X", "Z", floatsAttr("coefficients", 1, 2))
	onto := nodeOf(ml, "LinearRegressor", "W", "Y", floatsAttr("coefficients", 1, 2))
	for name, tt := range map[string]struct {
		nodes [][]byte
		want  string
	}{
		"add of one":               {[][]byte{linear, nodeOf("", "Add", "Z", "Y")}, "Add"},
		"add of itself":            {[][]byte{linear, nodeOf("", "Add", "Z Z", "Y")}, "Add"},
		"matmul of columns":        {[][]byte{nodeOf("", "MatMul", "X X", "Y")}, "MatMul"},
		"gemm of columns":          {[][]byte{nodeOf("", "Gemm", "X X X", "Y")}, "Gemm"},
		"reshape to a variable":    {[][]byte{linear, nodeOf("", "Reshape", "Z X", "Y")}, "Reshape"},
		"gather by columns":        {[][]byte{nodeOf("", "Gather", "X X", "W"), onto}, "Gather"},
		"slice by columns":         {[][]byte{nodeOf("", "Slice", "X X X", "W"), onto}, "Slice"},
		"where without a question": {[][]byte{nodeOf("", "Where", "X X X", "W"), onto}, "Where"},
		"concat of rows":           {[][]byte{nodeOf("", "Concat", "X X", "W", attrInt("axis", 0)), onto}, "Concat"},
		"softmax of rows":          {[][]byte{linear, nodeOf("", "Softmax", "Z", "Y", attrInt("axis", 0))}, "Softmax"},
		"a recurrent layer":        {[][]byte{nodeOf("", "GRU", "X", "Y")}, "GRU"},
		"a convolution":            {[][]byte{nodeOf("", "Conv", "X", "Y")}, "Conv"},
		"a support vector machine": {[][]byte{nodeOf(ml, "SVMRegressor", "X", "Y")}, "SVMRegressor"},
		"scaler by nothing":        {[][]byte{nodeOf(ml, "Scaler", "X", "W", floatsAttr("offset", 0), floatsAttr("scale", 1, 2, 3)), onto}, "Scaler"},
		"imputer without values":   {[][]byte{nodeOf(ml, "Imputer", "X", "W"), onto}, "Imputer"},
		"regressor without any":    {[][]byte{nodeOf(ml, "LinearRegressor", "X", "Y")}, "LinearRegressor"},
		"regressor too wide":       {[][]byte{nodeOf(ml, "LinearRegressor", "X", "Y", floatsAttr("coefficients", 1, 2, 3))}, "LinearRegressor"},
		"regressor of two targets": {[][]byte{nodeOf(ml, "LinearRegressor", "X", "Y", floatsAttr("coefficients", 1, 2), attrInt("targets", 2))}, "LinearRegressor"},
		"classifier without any":   {[][]byte{nodeOf(ml, "LinearClassifier", "X", "L Y")}, "LinearClassifier"},
		"one-hot without names":    {[][]byte{nodeOf(ml, "OneHotEncoder", "X", "W"), onto}, "OneHotEncoder"},
		"labels without names":     {[][]byte{nodeOf(ml, "LabelEncoder", "X", "W"), onto}, "LabelEncoder"},
		"normalizer of a model":    {[][]byte{linear, nodeOf(ml, "Normalizer", "Z", "Y", attrText("norm", "MAX"))}, "Normalizer"},
		"trees of a model":         {[][]byte{linear, nodeOf(ml, "TreeEnsembleRegressor", "Z", "Y")}, "TreeEnsembleRegressor"},
		"feature out of reach":     {[][]byte{nodeOf(ml, "ArrayFeatureExtractor", "X X", "W"), onto}, "ArrayFeatureExtractor"},
	} {
		t.Run(name, func(t *testing.T) {
			err := bounded(t, graphOf(tt.nodes...))
			if err == nil {
				t.Fatal("accepted")
			}
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%v wraps neither ErrFormat nor ErrUnsupported", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not name the operator %s", err, tt.want)
			}
		})
	}
}

// TestOperatorsOfOperators composes operators on top of a linear model, and compares with the
// formula.
func TestOperatorsOfOperators(t *testing.T) {
	const ml = "ai.onnx.ml"
	linear := nodeOf(ml, "LinearRegressor", "X", "Z", floatsAttr("coefficients", 1, 2))
	logistic := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	for name, tt := range map[string]struct {
		nodes [][]byte
		want  func(z float64) float64
	}{
		"exp":            {[][]byte{linear, nodeOf("", "Exp", "Z", "Y")}, math.Exp},
		"exp of exp":     {[][]byte{linear, nodeOf("", "Exp", "Z", "W"), nodeOf("", "Exp", "W", "Y")}, func(z float64) float64 { return math.Exp(math.Exp(z)) }},
		"exp of sigmoid": {[][]byte{linear, nodeOf("", "Sigmoid", "Z", "W"), nodeOf("", "Exp", "W", "Y")}, func(z float64) float64 { return math.Exp(logistic(z)) }},
		"sigmoid twice":  {[][]byte{linear, nodeOf("", "Sigmoid", "Z", "W"), nodeOf("", "Sigmoid", "W", "Y")}, func(z float64) float64 { return logistic(logistic(z)) }},
		"minus":          {[][]byte{linear, nodeOf("", "Neg", "Z", "Y")}, func(z float64) float64 { return -z }},
		"exp of minus":   {[][]byte{linear, nodeOf("", "Neg", "Z", "W"), nodeOf("", "Exp", "W", "Y")}, func(z float64) float64 { return math.Exp(-z) }},
		"linear of it":   {[][]byte{linear, nodeOf(ml, "LinearRegressor", "Z", "Y", floatsAttr("coefficients", 3))}, func(z float64) float64 { return 3 * z }},
		"nothing":        {[][]byte{linear, nodeOf("", "Identity", "Z", "W"), nodeOf("", "Dropout", "W", "Y")}, func(z float64) float64 { return z }},
	} {
		m, err := ImportONNX(graphOf(tt.nodes...), Options{})
		if err != nil {
			t.Errorf("%s: ImportONNX = %v", name, err)
			continue
		}
		for _, x := range [][]float64{{0, 0}, {0.5, 0.25}, {-3, 1}, {2, -0.125}} {
			got, want := predictRow(t, m, x)[0], tt.want(x[0]+2*x[1])
			if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) { // onnx computes in 32 bits
				t.Errorf("%s: predicts %v of %v, want %v", name, got, x, want)
			}
		}
	}
}
