package oip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// sum adds the rows of input "x".
type sum struct{}

func (sum) Metadata() ModelMetadata {
	return ModelMetadata{Name: "sum", Versions: []string{"1"}, Platform: "skerry", Inputs: []TensorMetadata{{"x", "FP64", []int64{-1, 2}}}, Outputs: []TensorMetadata{{"y", "FP64", []int64{-1}}}}
}

func (sum) Infer(_ context.Context, r *InferRequest) (*InferResponse, error) {
	x := r.Inputs[0]
	if x.Name != "x" {
		return nil, fmt.Errorf("%w: needs x", ErrInput)
	}
	if x.Datatype == "BYTES" {
		return nil, errors.New("model failed")
	}
	out := Tensor{Name: "y", Datatype: "FP64", Shape: []int64{x.Batch()}}
	width := len(x.Floats) / int(x.Batch())
	for i := range int(x.Batch()) {
		s := 0.0
		for _, v := range x.Floats[i*width : (i+1)*width] {
			s += v
		}
		out.Floats = append(out.Floats, s)
	}
	return &InferResponse{ModelName: "sum", ModelVersion: "1", Outputs: []Tensor{out}}, nil
}

type repo struct{}

func (repo) List() []string { return []string{"sum"} }
func (repo) Get(name, version string) (Model, bool) {
	return sum{}, name == "sum" && (version == "" || version == "1")
}

func serve(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	New(repo{}, Options{Version: "test", MaxBytes: 2000, MaxValues: 100}).Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(b))
}

func TestRoutes(t *testing.T) {
	srv := serve(t)
	meta := `{"name":"sum","versions":["1"],"platform":"skerry","inputs":[{"name":"x","datatype":"FP64","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP64","shape":[-1]}]}`
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/v2", 200, `{"name":"skerry","version":"test","extensions":[]}`},
		{"/v2/health/live", 200, `{"live":true}`},
		{"/v2/health/ready", 200, `{"ready":true}`},
		{"/v2/models/sum", 200, meta},
		{"/v2/models/sum/versions/1", 200, meta},
		{"/v2/models/sum/ready", 200, `{"ready":true}`},
		{"/v2/models/none", 404, `{"error":"no model none"}`},
		{"/v2/models/sum/versions/2/ready", 404, `{"error":"no model sum version 2"}`},
		{"/v2/nothing", 404, `{"error":"no such path: /v2/nothing"}`},
	}
	for _, tt := range tests {
		if status, body := call(t, "GET", srv.URL+tt.path, ""); status != tt.status || body != tt.body {
			t.Errorf("GET %s = %d %s, want %d %s", tt.path, status, body, tt.status, tt.body)
		}
	}
}

func TestInfer(t *testing.T) {
	srv := serve(t)
	in := func(datatype, shape, data string) string {
		return fmt.Sprintf(`{"id":"7","inputs":[{"name":"x","datatype":%q,"shape":%s,"data":%s}]}`, datatype, shape, data)
	}
	ok := `{"model_name":"sum","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP64","shape":[2],"data":[3,7]}]}`
	tests := []struct {
		name, body string
		status     int
		want       string // the answer, or a part of its error
	}{
		{"flat", in("FP64", "[2,2]", "[1,2,3,4]"), 200, ok},
		{"nested", in("FP32", "[2,2]", "[[1,2],[3,4]]"), 200, ok},
		{"integers", in("UINT8", "[2,2]", "[1,2,3,4]"), 200, ok},
		{"missing value", in("FP64", "[1,2]", "[1,null]"), 200, `"data":[null]`},
		{"bool", in("BOOL", "[1,2]", "[true,true]"), 200, `"data":[2]`},
		{"chosen output", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1,1],"data":[1]}],"outputs":[{"name":"y"}]}`, 200, `"data":[1]`},
		{"unknown output", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1,1],"data":[1]}],"outputs":[{"name":"z"}]}`, 400, "no output"},
		{"too few", in("FP64", "[2,2]", "[1,2,3]"), 400, "needs 4"},
		{"too many", in("FP64", "[2,2]", "[1,2,3,4,5]"), 400, "more than the 4"},
		{"nested otherwise", in("FP64", "[2,2]", "[[1,2,3],[4]]"), 400, "nest it as the shape says"},
		{"nested unevenly", in("FP64", "[2,2]", "[[1,2],3,4]"), 400, "unevenly"},
		{"string for number", in("FP64", "[1,1]", `["1"]`), 400, "datatype is FP64"},
		{"fraction for integer", in("INT32", "[1,1]", "[1.5]"), 400, "whole numbers"},
		{"beyond INT8", in("INT8", "[1,1]", "[128]"), 400, "127"},
		{"beyond FP32", in("FP32", "[1,1]", "[1e39]"), 400, "outside of FP32"},
		{"beyond FP64", in("FP64", "[1,1]", "[1e999]"), 400, "outside of float64"},
		{"null integer", in("INT8", "[1,1]", "[null]"), 400, "datatype is INT8"},
		{"unknown type", in("FP16", "[1,1]", "[1]"), 400, "datatype"},
		{"negative shape", in("FP64", "[-1,2]", "[1,2]"), 400, "shape"},
		{"shape overflows", in("FP64", "[4611686018427387904,4]", "[]"), 400, "shape"},
		{"no shape", `{"inputs":[{"name":"x","datatype":"FP64","data":[1]}]}`, 400, "shape"},
		{"no data", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1]}]}`, 400, "data is missing"},
		{"no inputs", `{}`, 400, "0 inputs"},
		{"twice", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1],"data":[1]},{"name":"x","datatype":"FP64","shape":[1],"data":[1]}]}`, 400, "different"},
		{"not JSON", `{`, 400, "not valid"},
		{"something behind", in("FP64", "[1]", "[1]") + "{}", 400, "follows"},
		{"wrong name", strings.Replace(in("FP64", "[1]", "[1]"), `"x"`, `"q"`, 1), 400, "needs x"},
		{"model fails", in("BYTES", "[1]", `["a"]`), 500, "model failed"},
		{"too large", in("FP64", "[1]", "["+strings.Repeat("1,", 2000)+"1]"), 413, "2000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := call(t, "POST", srv.URL+"/v2/models/sum/infer", tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Fatalf("POST %.200s = %d %s, want %d %s", tt.body, status, body, tt.status, tt.want)
			}
			if status != 200 {
				var e map[string]any
				if err := json.Unmarshal([]byte(body), &e); err != nil || len(e) != 1 || e["error"] == "" {
					t.Errorf("error body %s, want exactly {\"error\": …}", body)
				}
			}
		})
	}
	if status, _ := call(t, "POST", srv.URL+"/v2/models/none/infer", "{}"); status != 404 {
		t.Errorf("inference on a model that is not there = %d, want 404", status)
	}
}

// FuzzTensor: no panic, and what is read is written and read again as the same tensor.
func FuzzTensor(f *testing.F) {
	f.Add(`{"name":"x","datatype":"FP64","shape":[2,2],"data":[[1,2],[3,null]]}`)
	f.Add(`{"name":"x","datatype":"BYTES","shape":[1],"data":["a"]}`)
	f.Add(`{"name":"x","datatype":"BOOL","shape":[1,1,1],"data":[[[true]]]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var a, b Tensor
		if json.Unmarshal([]byte(text), &a) != nil || a.check(1000) != nil {
			return
		}
		out, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatal(err)
		}
		if err := b.check(1000); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		for i := range a.Floats {
			if math.Float64bits(a.Floats[i]) != math.Float64bits(b.Floats[i]) && !math.IsNaN(a.Floats[i]) {
				t.Fatalf("%v became %v", a.Floats[i], b.Floats[i])
			}
		}
		if !reflect.DeepEqual(a.Strings, b.Strings) && len(a.Strings) > 0 {
			t.Fatalf("%q became %q", a.Strings, b.Strings)
		}
	})
}
