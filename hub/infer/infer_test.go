package infer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/trust/signing"
)

const hourUS = int64(3_600_000_000)

// forecast is the smallest artifact: the change is a share of the value.
func forecast(t *testing.T, task string, slope float64) []byte {
	t.Helper()
	in := []feature.Input{{Name: "flow", Unit: "l/s"}}
	zero := 0.0
	lin, err := linear.New(1, ensemble.Identity, []float64{0}, []float64{slope})
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:      task,
			Kind:      artifact.KindForecast,
			HorizonUS: hourUS,
			Inputs:    in,
			Output:    artifact.Output{Series: "flow"},
			Learner:   "linear",
			Rows:      1,
		},
		Pipeline: &feature.Pipeline{
			Inputs:    in,
			Tolerance: hourUS / 2,
			Rows:      1,
			Columns:   []feature.Column{{Name: "flow", Op: feature.OpValue, Impute: &zero}},
		},
		Models:      map[artifact.Role]artifact.Predictor{artifact.Point: lin},
		Calibration: artifact.Calibration{Level: 0.9, Scores: []float64{0.1, 0.5, 1}},
	}
	if a.Vectors, err = artifact.MakeVectors(a, []int64{hourUS, 2 * hourUS}, []float64{1, 2}, 1); err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// served is a registry and the handler over it.
type served struct {
	t       *testing.T
	dir     string
	db      *meta.Store
	reg     *registry.Registry
	handler http.Handler
	log     bytes.Buffer
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, dir: t.TempDir()}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.db, err = meta.Open(t.Context(), meta.Options{Dir: s.dir})
	check(err)
	t.Cleanup(func() { s.db.Close() })
	blobs, err := blob.Open(t.Context(), "", s.dir, "blobs")
	check(err)
	t.Cleanup(func() { blobs.Close() })
	sign, err := signing.Open(signing.Options{
		Keys: filepath.Join(s.dir, "keys"),
		Dir:  filepath.Join(s.dir, "tuf"),
	})
	check(err)
	s.reg = registry.New(s.db, blobs, sign)
	s.handler = Handler(s.db, s.reg, Options{
		Version: "1",
		Log:     slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	return s
}

// champion registers a model and makes it the champion of a cohort, "" for all devices.
func (s *served) champion(task string, slope float64, cohort string) meta.Model {
	s.t.Helper()
	m, err := s.reg.Register(s.t.Context(), forecast(s.t, task, slope), registry.Info{
		Task:      task,
		Kind:      "linear",
		CreatedBy: "test",
	})
	if err == nil {
		err = s.reg.Promote(s.t.Context(), "test", m.Digest, cohort)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// ask predicts the hour after a flow of 10.
func (s *served) ask(model string) (status int, version string, value float64, body string) {
	r := httptest.NewRequest("POST", "/v2/models/"+model+"/infer", strings.NewReader(
		`{"inputs":[{"name":"rows","datatype":"FP64","shape":[1,1],"data":[10]},`+
			`{"name":"time","datatype":"INT64","shape":[1],"data":[3600000000]}]}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	var out struct {
		ModelVersion string `json:"model_version"`
		Outputs      []struct{ Data []float64 }
	}
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.Outputs) != 3 {
			s.t.Fatalf("POST %s = %s: %v", model, w.Body, err)
		}
		value = out.Outputs[0].Data[0]
	}
	return w.Code, out.ModelVersion, value, w.Body.String()
}

// TestChampions asks for models by every name they have.
func TestChampions(t *testing.T) {
	s := serve(t)
	first := s.champion("flow", 0.1, "")
	lab := s.champion("flow", 0.2, "lab")
	old := s.champion("level", 0.5, "")
	now := s.champion("level", 0.7, "")
	s.champion("gone", 0.1, "")
	gone := s.champion("forbidden", 0.1, "")
	if err := s.reg.Tombstone(t.Context(), "test", gone.Digest, "worse"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		model   string
		status  int
		version string
		value   float64
	}{
		{"flow", 200, "flow@1", 11},
		{"flow/versions/flow@1", 200, "flow@1", 11},
		{"flow/versions/" + first.Digest, 200, "flow@1", 11},
		{"flow/versions/flow@2", 200, "flow@2", 12},
		{"flow/versions/" + lab.Digest, 200, "flow@2", 12},
		{"level", 200, "level@2", 17},
		{"level/versions/" + now.Digest, 200, "level@2", 17},
		{"level/versions/" + old.Digest, 404, "", 0}, // nobody's champion any more
		{"level/versions/flow@1", 404, "", 0},
		{"forbidden", 404, "", 0},
		{"none", 404, "", 0},
	} {
		status, version, value, body := s.ask(tt.model)
		if status != tt.status || version != tt.version || value != tt.value {
			t.Errorf("POST %s = %d %q %v, want %d %q %v: %s",
				tt.model, status, version, value, tt.status, tt.version, tt.value, body)
		}
	}
	// the next champion answers at once
	s.champion("flow", 0.9, "")
	if status, version, value, body := s.ask("flow"); status != 200 || version != "flow@3" || value != 19 {
		t.Errorf("after a new champion: %d %q %v, want flow@3 and 19: %s", status, version, value, body)
	}
	if s.log.Len() > 0 {
		t.Errorf("the log has %s, want nothing", s.log.String())
	}
}

// TestDamaged keeps a champion whose bytes are not what was signed from being served, and logs why.
func TestDamaged(t *testing.T) {
	s := serve(t)
	m := s.champion("flow", 0.1, "")
	var file string
	err := filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, m.Digest) && !strings.HasSuffix(path, ".attrs") {
			file = path
		}
		return err
	})
	if err != nil || file == "" {
		t.Fatalf("no blob of %s: %v", m.Digest, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, _, body := s.ask("flow"); status != http.StatusNotFound {
		t.Errorf("a damaged champion = %d %s, want 404", status, body)
	}
	if !strings.Contains(s.log.String(), "champion not loaded") || !strings.Contains(s.log.String(), m.Digest) {
		t.Errorf("the log has %q, want the champion that was not loaded", s.log.String())
	}
}

// TestClosedDatabase is a server's fault that the protocol can only answer by a missing model: the
// log tells them apart.
func TestClosedDatabase(t *testing.T) {
	s := serve(t)
	s.champion("flow", 0.1, "")
	s.db.Close()
	if status, _, _, _ := s.ask("flow"); status != http.StatusNotFound {
		t.Errorf("without a database = %d, want 404", status)
	}
	if !strings.Contains(s.log.String(), "champions not listed") {
		t.Errorf("the log has %q, want champions not listed", s.log.String())
	}
}

// TestLoadedAreBounded asks for more models than stay loaded, many callers at a time.
func TestLoadedAreBounded(t *testing.T) {
	s := serve(t)
	c := &champions{
		db:       s.db,
		registry: s.reg,
		log:      slog.New(slog.DiscardHandler),
		loaded:   map[string]*artifact.Artifact{},
	}
	models := make([]meta.Model, cachedModels+2)
	for i := range models {
		models[i] = s.champion(fmt.Sprintf("flow-%d", i), 0.1, "")
	}
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for _, m := range models {
				if _, ok := c.Get(m.Task, ""); !ok {
					t.Errorf("Get(%q) finds nothing", m.Task)
				}
			}
		})
	}
	g.Wait()
	if len(c.loaded) != cachedModels || len(c.used) != cachedModels {
		t.Errorf("%d artifacts are loaded, %d in order, want %d", len(c.loaded), len(c.used), cachedModels)
	}
	last := models[len(models)-1].Digest
	if c.used[len(c.used)-1] != last || c.loaded[last] == nil {
		t.Errorf("the artifact used last is not loaded")
	}
	if got := c.List(); len(got) != len(models) {
		t.Errorf("List has %d tasks, want %d", len(got), len(models))
	}
}
