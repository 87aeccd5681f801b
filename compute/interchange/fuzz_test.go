package interchange

import (
	"testing"

	"skerry.dev/compute/artifact"
)

// fuzz imports anything as one format: an error, or a model that makes an artifact which passes
// its own self-test, or says why it makes none.
func fuzz(f *testing.F, read func([]byte, Options) (*Model, error), names ...string) {
	for _, name := range names {
		f.Add(peerModel(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := read(b, Options{Name: "fuzz"})
		if err != nil {
			return
		}
		a, err := m.Artifact("t", "y")
		if err != nil {
			return
		}
		if err := a.SelfTest(); err != nil {
			t.Fatal(err)
		}
		if _, err := artifact.Encode(a); err != nil && a.Check() != nil {
			t.Fatal(err)
		}
		if _, err := ExportONNX(a); err != nil {
			return
		}
	})
}

func FuzzLightGBM(f *testing.F) {
	fuzz(f, ImportLightGBM, "lgb_constant", "lgb_categories_wide", "lgb_pandas")
}

func FuzzXGBoostJSON(f *testing.F) {
	f.Add(jsonBytes(smallXGBoost()))
	fuzz(f, ImportXGBoostJSON, "xgb32_gblinear", "xgb17_squarederror", "xgb32_pandas_json")
}

func FuzzXGBoostUBJSON(f *testing.F) {
	f.Add(toUBJ(nil, smallXGBoost()))
	fuzz(f, ImportXGBoostUBJ, "xgb32_gblinear_softprob", "xgb21_multi_tree", "xgb32_categories")
}

func FuzzONNX(f *testing.F) {
	for _, h := range []map[string]attr{nil, {"n_targets": attrInt("n_targets", 2)}} {
		f.Add(graphOf(treeNode(h)))
	}
	fuzz(f, ImportONNX, "onnx_dtc", "onnx_mlpc2", "onnx_pipe_onehot", "onnx_pipe_normal", "onnx_lgb_categories", "onnx_modes_v5_float", "onnx_logistic_ovr")
}
