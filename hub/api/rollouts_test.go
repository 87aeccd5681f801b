package api_test

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
)

// model registers bytes as a model of a task.
func (f *fixture) model(task, data string) meta.Model {
	f.t.Helper()
	m, err := f.reg.Register(f.t.Context(), []byte(data), registry.Info{
		Task:      task,
		Kind:      "test",
		CreatedBy: "test",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// refused asks for something that must fail with a status and a code.
func (f *fixture) refused(method, path, token, body string, status int, code string) {
	f.t.Helper()
	got, reply := f.do(method, path, token, body)
	var e api.Error
	if err := json.Unmarshal([]byte(reply), &e); err != nil || got != status || e.Detail.Code != code {
		f.t.Errorf("%s %s = %d %s, want %d %q", method, path, got, reply, status, code)
	}
}

// breakTable renames a table behind the hub's back: a fault of the database that only those who
// need the table meet.
func (f *fixture) breakTable(name string) {
	f.t.Helper()
	f.alter("ALTER TABLE " + name + " RENAME TO broken")
}

// alter changes the database behind the hub's back.
func (f *fixture) alter(statement string) {
	f.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(f.dir, "hub.db"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		f.t.Fatal(err)
	}
}

// TestRolloutRefusals holds what callers of rollouts are told that they got wrong.
func TestRolloutRefusals(t *testing.T) {
	f := newFixture(t)
	operator := f.login("operator")
	m, dead := f.model("flow", "one"), f.model("flow", "two")
	if err := f.reg.Tombstone(t.Context(), "test", dead.Digest, "worse"); err != nil {
		t.Fatal(err)
	}
	spec := func(digest, more string) string { return `{"task":"flow","digest":"` + digest + `"` + more + `}` }
	f.refused("POST", "/v1/rollouts", operator, spec(m.Digest, `,"alpha":2`), 422, "rollout_refused")
	f.refused("POST", "/v1/rollouts/plan", operator, spec(m.Digest, `,"min_shadow":1`), 422, "rollout_refused")
	f.refused("POST", "/v1/rollouts", operator, strings.Replace(spec(m.Digest, ""), "flow", "level", 1), 422, "rollout_refused")
	f.refused("POST", "/v1/rollouts", operator, spec(strings.Repeat("0", 64), ""), 404, "not_found")
	f.refused("POST", "/v1/rollouts", operator, spec(dead.Digest, ""), 410, "tombstoned")
	f.refused("POST", "/v1/rollouts/r-none/pause", operator, `{}`, 404, "not_found")
	f.refused("POST", "/v1/rollouts/r-none/explode", operator, `{}`, 422, "invalid")

	code, reply := f.do("POST", "/v1/rollouts", operator, spec(m.Digest, `,"approval":true`))
	var r struct{ ID, State string }
	if err := json.Unmarshal([]byte(reply), &r); err != nil || code != http.StatusOK || r.State != "awaiting_approval" {
		t.Fatalf("create = %d %s, %v", code, reply, err)
	}
	f.refused("POST", "/v1/rollouts", operator, spec(m.Digest, ""), 409, "rollout_busy")
	f.refused("POST", "/v1/rollouts/"+r.ID+"/resume", operator, `{}`, 422, "rollout_refused")
	if f.log.Len() > 0 {
		t.Errorf("the log has %s: what callers get wrong is not logged", f.log)
	}
}

// TestServersFault answers a fault of the database with 500 and logs it, whoever meets it: the
// rollouts' table is gone first, then the whole database, the check of credentials included.
func TestServersFault(t *testing.T) {
	f := newFixture(t)
	operator := f.login("operator")
	m := f.model("flow", "one")
	f.breakTable("rollout")
	fault := func(method, path, body string) {
		t.Helper()
		f.log.Reset()
		f.refused(method, path, operator, body, http.StatusInternalServerError, "internal")
		if !strings.Contains(f.log.String(), "request failed") {
			t.Errorf("%s %s: the log has %q, want the fault", method, path, f.log)
		}
	}
	spec := `{"task":"flow","digest":"` + m.Digest + `"}`
	fault("GET", "/v1/rollouts", "")
	fault("GET", "/v1/rollouts/r-1", "")
	fault("POST", "/v1/rollouts", spec)
	fault("POST", "/v1/rollouts/plan", spec)
	fault("POST", "/v1/rollouts/r-1/pause", "{}")
	f.refused("POST", "/v1/rollouts", operator, `{"task":"flow","digest":"`+m.Digest+`","alpha":2}`, 422, "rollout_refused")

	f.db.Close()
	fault("GET", "/v1/devices", "")
	fault("GET", "/v1/artifacts/"+m.Digest, "")
}
