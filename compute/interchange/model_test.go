package interchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
)

func TestImportFindsTheFormat(t *testing.T) {
	for name, want := range map[string]Format{"lgb_binary": LightGBM, "xgb17_dart": XGBoostJSON, "xgb32_exact": XGBoostUBJ, "onnx_gbr": ONNX} {
		b := peerModel(t, name)
		m, err := Import(bytes.NewReader(b), int64(len(b)), Options{Name: name + ".model"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := sha256.Sum256(b)
		if m.Format != want || m.SHA256 != hex.EncodeToString(sum[:]) || m.Producer == "" {
			t.Errorf("%s: format %q of %q with digest %s, want %q", name, m.Format, m.Producer, m.SHA256, want)
		}
		a, err := m.Artifact("pump", "wear")
		if err != nil {
			t.Fatal(err)
		}
		learner := strings.TrimSuffix(strings.TrimSuffix(string(want), "-json"), "-ubj")
		if a.Manifest.Task != "pump" || a.Manifest.Output.Series != "wear" || a.Manifest.Learner != learner || !slices.Equal(a.Manifest.CreatedFrom, []string{"file:" + name + ".model", "sha256:" + m.SHA256}) {
			t.Errorf("%s: manifest %+v", name, a.Manifest)
		}
		if a.Vectors.Tail < 16 || len(a.Vectors.Want[artifact.Point]) == 0 {
			t.Errorf("%s: %d self-test rows", name, a.Vectors.Tail)
		}
	}
	// The text format with the line ends of another system, and ONNX with its fields in another
	// order.
	crlf := bytes.ReplaceAll(peerModel(t, "lgb_binary"), []byte("\n"), []byte("\r\n"))
	if m, err := ImportBytes(crlf, Options{}); err != nil || m.Format != LightGBM {
		t.Errorf("lines that end in CR LF: %v", err)
	}
	moved := append(peerModel(t, "onnx_gbr")[2:], 8, 8)
	if m, err := ImportBytes(moved, Options{}); err != nil || m.Format != ONNX {
		t.Errorf("the version at the end: %v", err)
	}
}

func TestNamesAndClasses(t *testing.T) {
	names := func(m *Model) (out []string) {
		for _, in := range m.Inputs {
			out = append(out, in.Name)
		}
		return out
	}
	read := func(name string, o Options) *Model {
		t.Helper()
		m, err := ImportBytes(peerModel(t, name), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := read("xgb32_squarederror", Options{}); !slices.Equal(names(m), []string{"alpha", "beta", "gamma", "delta", "epsilon"}) {
		t.Errorf("names %q", names(m))
	}
	if m := read("lgb_pandas", Options{}); !slices.Equal(m.Inputs[3].Categories, []string{"low", "mid", "high", "odd \"name\""}) || len(m.Inputs[4].Categories) != 24 || m.Inputs[0].Categories != nil {
		t.Errorf("inputs %q", m.Inputs)
	}
	if m := read("onnx_logistic_names", Options{Output: "output_probability"}); m.Kind != artifact.KindClassification || !slices.Equal(m.Classes, []string{"no", "yes"}) {
		t.Errorf("%s with classes %q", m.Kind, m.Classes)
	}
	if m := read("onnx_mlpc3", Options{}); !slices.Equal(m.Classes, []string{"0", "1", "2"}) {
		t.Errorf("classes %q", m.Classes)
	}
	if _, err := ImportBytes(peerModel(t, "onnx_gbr"), Options{Output: "other"}); err == nil || !strings.Contains(err.Error(), "variable") {
		t.Errorf("an output that is not there: %v", err)
	}
}
