package oip

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
)

// level is a model of two inputs: the first is forecast an hour ahead as its last value plus add,
// or is predicted itself as twice itself plus add.
func level(t *testing.T, kind string, add float64) *artifact.Artifact {
	t.Helper()
	in := []feature.Input{{Name: "y"}, {Name: "x"}}
	zero := 0.0
	weight, horizon := 0.0, int64(3600e6)
	if kind == artifact.KindRegression {
		weight, horizon = 2, 0
	}
	point := func(bias float64) artifact.Predictor {
		m, err := linear.New(1, ensemble.Identity, []float64{bias}, []float64{weight})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	all := map[artifact.Role]artifact.Predictor{artifact.Point: point(add)}
	if kind == artifact.KindForecast {
		all[artifact.Lower], all[artifact.Upper] = point(add-2), point(add+2)
	}
	return &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:      "level",
			Kind:      kind,
			HorizonUS: horizon,
			Inputs:    in,
			Output:    artifact.Output{Series: "y"},
			Learner:   "linear",
		},
		Pipeline: &feature.Pipeline{Inputs: in, Tolerance: 1800e6, Rows: 4, Columns: []feature.Column{
			{Name: "y", Op: feature.OpValue, Impute: &zero},
		}},
		Models:      all,
		Calibration: artifact.Calibration{Level: 0.5, Scores: []float64{1, 2, 3}},
		Digest:      strings.Repeat("a", 64),
	}
}

// models serves artifacts by name, each as its version 7.
type models map[string]*artifact.Artifact

func (m models) List() []string { return nil }
func (m models) Get(name, version string) (Model, bool) {
	a, ok := m[name]
	return FromArtifact(name, "7", a), ok && (version == "" || version == "7")
}

func serveArtifacts(t *testing.T, opts Options) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	New(models{
		"level": level(t, artifact.KindForecast, 3),
		"twice": level(t, artifact.KindRegression, 1),
	}, opts).Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func rows(datatype, shape, data, times string) string {
	n := strings.Count(times, ",") + 1
	return fmt.Sprintf(`{"id":"q","inputs":[{"name":"rows","datatype":%q,"shape":%s,"data":%s},{"name":"time","datatype":"INT64","shape":[%d],"data":[%s]}]}`, datatype, shape, data, n, times)
}

func TestArtifactMetadata(t *testing.T) {
	srv := serveArtifacts(t, Options{})
	const want = `{"name":"level","versions":["7"],"platform":"skerry_linear","inputs":[{"name":"rows","datatype":"FP64","shape":[-1,2]},{"name":"time","datatype":"INT64","shape":[-1]}],` +
		`"outputs":[{"name":"prediction","datatype":"FP64","shape":[-1]},{"name":"lower","datatype":"FP64","shape":[-1]},{"name":"upper","datatype":"FP64","shape":[-1]}]}`
	if status, body := call(t, "GET", srv.URL+"/v2/models/level", ""); status != 200 || body != want {
		t.Errorf("GET level = %d %s, want %s", status, body, want)
	}
	if md := FromArtifact("level", "", level(t, artifact.KindForecast, 0)).Metadata(); md.Versions != nil {
		t.Errorf("a model without a version has versions %q", md.Versions)
	}
}

// TestArtifactClasses asks a classification: the answer has every class's probability beside the
// most probable class, and gives them alone when they are asked for.
func TestArtifactClasses(t *testing.T) {
	a := level(t, artifact.KindRegression, 0)
	point, err := linear.New(1, ensemble.Softmax, []float64{0, 1, 0}, []float64{0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	a.Manifest.Kind, a.Manifest.Output.Classes = artifact.KindClassification, []string{"idle", "heat", "hold"}
	a.Models = map[artifact.Role]artifact.Predictor{artifact.Point: point}
	a.Calibration = artifact.Calibration{}
	m := FromArtifact("phase", "7", a)
	if out := m.Metadata().Outputs; len(out) != 4 || out[3].Name != "probabilities" || !slices.Equal(out[3].Shape, []int64{-1, 3}) {
		t.Errorf("outputs %+v", out)
	}
	in := &InferRequest{Inputs: []Tensor{
		{Name: "rows", Datatype: "FP64", Shape: []int64{2, 2}, Floats: []float64{0, 0, 5, 0}},
		{Name: "time", Datatype: "INT64", Shape: []int64{2}, Floats: []float64{0, 1}},
	}}
	r, err := m.Infer(t.Context(), in)
	if err != nil || len(r.Outputs) != 4 {
		t.Fatalf("Infer = %+v, %v", r, err)
	}
	p := r.Outputs[3].Floats
	if !slices.Equal(r.Outputs[0].Floats, []float64{1, 2}) || !slices.Equal(r.Outputs[3].Shape, []int64{2, 3}) || len(p) != 6 || math.Abs(p[0]+p[1]+p[2]-1) > 1e-12 || math.Abs(p[1]-math.E/(2+math.E)) > 1e-9 || !(p[5] > 0.9) {
		t.Errorf("outputs %+v", r.Outputs)
	}
	in.Outputs = []RequestedOutput{{Name: "probabilities"}}
	if r, err := m.Infer(t.Context(), in); err != nil || len(r.Outputs) != 1 || r.Outputs[0].Name != "probabilities" {
		t.Errorf("Infer of the probabilities = %+v, %v", r, err)
	}
}

// TestArtifactInfer asks models whose answers can be told without a program: a forecast is the
// change added to the row's own value, a regression the value itself.
func TestArtifactInfer(t *testing.T) {
	srv := serveArtifacts(t, Options{})
	for name, tt := range map[string]struct {
		model, body string
		want        []float64
	}{
		"forecast":    {"level", rows("FP64", "[2,2]", "[10,0,20,0]", "0,3600000000"), []float64{13, 23}},
		"regression":  {"twice", rows("FP64", "[2,2]", "[[10,0],[20,null]]", "0,3600000000"), []float64{21, 41}},
		"FP32":        {"twice", rows("FP32", "[1,2]", "[0.1,0]", "5"), []float64{2*float64(float32(0.1)) + 1}},
		"equal times": {"twice", rows("FP64", "[2,2]", "[1,0,2,0]", "5,5"), []float64{3, 5}},
		"a missing target of a forecast": {"level", rows("FP64", "[1,2]", "[null,0]", "0"),
			[]float64{math.NaN()}},
	} {
		status, body := call(t, "POST", srv.URL+"/v2/models/"+tt.model+"/infer", tt.body)
		var got struct {
			Model   string `json:"model_name"`
			Version string `json:"model_version"`
			ID      string
			Outputs []struct {
				Name, Datatype string
				Shape          []int
				Data           []*float64
			}
		}
		if err := json.Unmarshal([]byte(body), &got); status != 200 || err != nil {
			t.Errorf("%s: %d %s (%v)", name, status, body, err)
			continue
		}
		if got.Model != tt.model || got.Version != "7" || got.ID != "q" || len(got.Outputs) != 3 {
			t.Errorf("%s: answer %s, want the model, its version, the request's id and three outputs", name, body)
			continue
		}
		for k, want := range []string{"prediction", "lower", "upper"} {
			if o := got.Outputs[k]; o.Name != want || o.Datatype != "FP64" || !slices.Equal(o.Shape, []int{len(tt.want)}) || len(o.Data) != len(tt.want) {
				t.Errorf("%s: output %d is %+v, want %s of FP64 [%d]", name, k, o, want, len(tt.want))
			}
		}
		for i, want := range tt.want {
			p, lo, hi := got.Outputs[0].Data[i], got.Outputs[1].Data[i], got.Outputs[2].Data[i]
			switch {
			case math.IsNaN(want):
				if p != nil {
					t.Errorf("%s: row %d is predicted as %v, want null", name, i, *p)
				}
			case p == nil || *p != want:
				t.Errorf("%s: row %d is predicted as %v, want %v", name, i, p, want)
			case tt.model == "twice" && (lo != nil || hi != nil):
				t.Errorf("%s: row %d has an interval of a model without one", name, i)
			case tt.model == "level" && (lo == nil || hi == nil || *lo != want-2 || *hi != want+2):
				t.Errorf("%s: row %d has the interval %v to %v, want 2 around %v", name, i, lo, hi, want)
			}
		}
	}
	body := strings.TrimSuffix(rows("FP64", "[1,2]", "[1,0]", "0"), "}") + `,"outputs":[{"name":"upper"},{"name":"prediction"}]}`
	if status, text := call(t, "POST", srv.URL+"/v2/models/twice/versions/7/infer", body); status != 200 || strings.Contains(text, "lower") || strings.Index(text, "upper") > strings.Index(text, "prediction") {
		t.Errorf("chosen outputs = %d %s, want upper and prediction in this order", status, text)
	}
}

// TestArtifactRefuses holds that what a model does not take is the caller's fault, and says what
// it takes.
func TestArtifactRefuses(t *testing.T) {
	srv := serveArtifacts(t, Options{})
	const takes = `want \"rows\" of FP64 [n, 2] and \"time\" of INT64 [n]`
	for name, tt := range map[string]struct{ body, want string }{
		"another width":      {rows("FP64", "[1,3]", "[1,2,3]", "0"), takes},
		"flat rows":          {rows("FP64", "[2]", "[1,2]", "0"), takes},
		"whole numbers":      {rows("INT32", "[1,2]", "[1,2]", "0"), takes},
		"rows without times": {`{"inputs":[{"name":"rows","datatype":"FP64","shape":[1,2],"data":[1,2]}]}`, takes},
		"times without rows": {`{"inputs":[{"name":"time","datatype":"INT64","shape":[1],"data":[1]}]}`, takes},
		"times of numbers":   {`{"inputs":[{"name":"time","datatype":"FP64","shape":[1],"data":[1]}]}`, takes},
		"another tensor":     {`{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}`, `tensor \"x\"`},
		"fewer times":        {rows("FP64", "[2,2]", "[1,2,3,4]", "0"), "for the same n"},
		"time goes back":     {rows("FP64", "[2,2]", "[1,2,3,4]", "9,8"), "time goes back at row 1"},
	} {
		if status, body := call(t, "POST", srv.URL+"/v2/models/level/infer", tt.body); status != 400 || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s, want 400 %s", name, status, body, tt.want)
		}
	}
}

// TestNotReady: a server that is not ready answers so for itself and for its models, and a model
// that is not there stays not found.
func TestNotReady(t *testing.T) {
	srv := serveArtifacts(t, Options{Ready: func() bool { return false }})
	for path, want := range map[string]int{"/v2/health/live": 200, "/v2/health/ready": 503, "/v2/models/level/ready": 503, "/v2/models/none/ready": 404} {
		if status, body := call(t, "GET", srv.URL+path, ""); status != want {
			t.Errorf("GET %s = %d %s, want %d", path, status, body, want)
		}
	}
}

// TestLimits sends requests at their bounds and one beyond.
func TestLimits(t *testing.T) {
	srv := serveArtifacts(t, Options{MaxTensors: 2, MaxValues: 4})
	body := rows("FP64", "[2,2]", "[1,2,3,4]", "0,1")
	if status, text := call(t, "POST", srv.URL+"/v2/models/level/infer", body); status != 200 {
		t.Errorf("two tensors of four values: %d %s", status, text)
	}
	body = strings.Replace(body, `"inputs":[`, `"inputs":[{"name":"z","datatype":"BOOL","shape":[1],"data":[true]},`, 1)
	if status, text := call(t, "POST", srv.URL+"/v2/models/level/infer", body); status != 400 || !strings.Contains(text, "3 inputs: must be 1 to 2") {
		t.Errorf("three tensors: %d %s, want 400", status, text)
	}
	if status, text := call(t, "POST", srv.URL+"/v2/models/level/infer", rows("FP64", "[5,1]", "[1,2,3,4,5]", "0")); status != 400 || !strings.Contains(text, "at most 4 values in all") {
		t.Errorf("five values: %d %s, want 400", status, text)
	}
	for shape, data := range map[string]string{"[1,1,1,1,1,1,1,1,1]": "[1]", "[1]": "[[[[[[[[[1]]]]]]]]]", "[2]": `{"a":1}`, "[3]": "7"} {
		if status, text := call(t, "POST", srv.URL+"/v2/models/level/infer", rows("FP64", shape, data, "0")); status != 400 {
			t.Errorf("shape %s of %s: %d %s, want 400", shape, data, status, text)
		}
	}
}
