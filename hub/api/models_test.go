package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/spec"
)

// TestArtifact downloads a model by range, as devices do that lost their link in the middle.
func TestArtifact(t *testing.T) {
	f := newFixture(t)
	token := f.device("pump-7")
	m := f.model("flow", "0123456789")
	if _, err := f.fleet.UpdateDesired(t.Context(), "pump-7", func(_ *meta.Queries, d *spec.Desired) error {
		d.Assignments["flow"] = spec.Assignment{Digest: m.Digest}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, digest, header, value string
		code                        int
		body                        string
	}{
		{"whole", m.Digest, "", "", 200, "0123456789"},
		{"named by algorithm", "sha256:" + m.Digest, "", "", 200, "0123456789"},
		{"resumed", m.Digest, "Range", "bytes=4-", 206, "456789"},
		{"beyond the end", m.Digest, "Range", "bytes=40-", 416, ""},
		{"had already", m.Digest, "If-None-Match", `"` + m.Digest + `"`, 304, ""},
		{"not assigned", strings.Repeat("0", 64), "", "", 403, "forbidden"},
		{"no digest", "etc", "", "", 403, "forbidden"},
	} {
		r := httptest.NewRequest("GET", "/v1/artifacts/"+tt.digest, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if tt.header != "" {
			r.Header.Set(tt.header, tt.value)
		}
		w := httptest.NewRecorder()
		f.api.Handler().ServeHTTP(w, r)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) || tt.code == 206 && w.Body.String() != tt.body {
			t.Errorf("%s: GET %s = %d %q, want %d %q", tt.name, tt.digest, w.Code, w.Body, tt.code, tt.body)
		}
	}
}

// TestModels uploads, follows a lineage and forbids.
func TestModels(t *testing.T) {
	f := newFixture(t)
	engineer, operator := f.login("engineer"), f.login("operator")
	first := f.model("flow", "first")
	second, err := f.reg.Register(t.Context(), []byte("second"), registry.Info{
		Task:      "flow",
		Kind:      "test",
		CreatedBy: "test",
		Lineage:   map[string]string{"champion": first.Digest, "job": "gone"},
	})
	if err != nil {
		t.Fatal(err)
	}
	code, reply := f.do("POST", "/v1/models?task=flow&kind=test&source=a+shop", engineer, "third")
	var third struct {
		Name    string
		Digest  string
		Lineage json.RawMessage
	}
	if err := json.Unmarshal([]byte(reply), &third); err != nil || code/100 != 2 || third.Name != "flow@3" || !strings.Contains(string(third.Lineage), "a shop") {
		t.Errorf("upload = %d %s, %v, want flow@3 and where it comes from", code, reply, err)
	}
	var line struct {
		Model   struct{ Digest string }
		Parents []struct{ Digest string }
	}
	f.get("/v1/models/"+second.Digest+"/lineage", operator, &line)
	if line.Model.Digest != second.Digest || len(line.Parents) != 1 || line.Parents[0].Digest != first.Digest {
		t.Errorf("lineage = %+v, want the first, which the second was to beat", line)
	}
	path := "/v1/models/" + second.Digest
	f.refused("POST", path+"/tombstone", operator, `{"reason":""}`, 422, "invalid")
	if code, reply := f.do("POST", path+"/tombstone", operator, `{"reason":"worse"}`); code != http.StatusNoContent {
		t.Errorf("tombstone = %d %s, want 204", code, reply)
	}
	f.refused("POST", "/v1/models?task=flow&kind=test", engineer, "second", 410, "tombstoned")
	f.refused("GET", "/v1/models/"+strings.Repeat("0", 64), operator, "", 404, "not_found")
	f.refused("GET", "/v1/models/abc", operator, "", 422, "invalid")
	var list struct {
		Items []struct{ Name, State string }
	}
	f.get("/v1/models?task=flow", operator, &list)
	if len(list.Items) != 3 {
		t.Errorf("the list has %+v, want three models", list.Items)
	}
}
