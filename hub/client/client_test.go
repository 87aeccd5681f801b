package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature/wasm/wasmtest"
	"skerry.dev/configs"
	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
)

const password = "correct horse battery"

// open serves a whole hub on loopback and logs in as its admin. Its background work does not run.
func open(t *testing.T) (*server.Hub, *client.Client) {
	t.Helper()
	h, err := server.Open(t.Context(), server.Options{
		Config:        configs.HubConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"},
		AdminPassword: password,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
	srv := httptest.NewServer(h.API.Handler())
	t.Cleanup(srv.Close)
	c := client.New(srv.URL+"/", "")
	login, err := c.Login(t.Context(), "admin", password)
	if err != nil {
		t.Fatal(err)
	}
	if login.Role != "admin" || login.Token == "" || c.Token != login.Token || login.ExpiresAt <= meta.Now() {
		t.Fatalf("Login = %+v, the client's token %q", login, c.Token)
	}
	return h, c
}

// status asserts that the hub refused with a status and a code.
func status(t *testing.T, err error, want int, code string) {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Status != want || e.Code != code || e.Message == "" || client.IsNotFound(err) != (want == 404) {
		t.Errorf("error %v, want %d %s", err, want, code)
	}
}

// check ends the test at an error that must not be.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAccess(t *testing.T) {
	_, c := open(t)
	ctx := t.Context()
	me, err := c.Me(ctx)
	if check(t, err); me != (api.Me{Name: "user/admin", Role: "admin"}) {
		t.Errorf("Me = %+v", me)
	}
	check(t, c.CreateUser(ctx, "ada", "viewer", "a long password"))
	status(t, c.CreateUser(ctx, "ada", "viewer", "a long password"), 409, "user_exists")
	status(t, c.CreateUser(ctx, "bob", "viewer", "short"), 422, "invalid")
	users, err := c.Users(ctx)
	check(t, err)
	if !slices.ContainsFunc(users, func(a meta.Account) bool { return a.Name == "ada" && a.Role == "viewer" }) {
		t.Errorf("Users = %+v, want ada", users)
	}
	ada := client.New(c.URL, "")
	_, err = ada.Login(ctx, "ada", "wrong password")
	status(t, err, 401, "login_failed")
	_, err = ada.Login(ctx, "ada", "a long password")
	check(t, err)
	status(t, ada.SetPassword(ctx, "ada", "another password", ""), 401, "login_failed")
	check(t, ada.SetPassword(ctx, "ada", "another password", "a long password"))
	_, err = ada.Me(ctx)
	status(t, err, 401, "unauthorized") // a new password ends the logins
	check(t, c.SetPassword(ctx, "ada", "a third password", ""))

	token, err := c.CreateAPIToken(ctx, "ci", "operator", 7)
	check(t, err)
	program := client.New(c.URL, token.Token)
	if me, err := program.Me(ctx); err != nil || me.Name != "token/ci" || me.Role != "operator" {
		t.Errorf("Me of a token = %+v, %v", me, err)
	}
	_, err = program.Users(ctx)
	status(t, err, 403, "forbidden")
	check(t, c.RevokeAPIToken(ctx, token.ID))
	_, err = program.Me(ctx)
	status(t, err, 401, "unauthorized")
	tokens, err := c.APITokens(ctx)
	if check(t, err); len(tokens) != 1 || tokens[0].RevokedAt == 0 || tokens[0].ExpiresAt-tokens[0].CreatedAt != (7*24*time.Hour).Microseconds() {
		t.Errorf("APITokens = %+v, want one of seven days, revoked", tokens)
	}
	check(t, c.RemoveUser(ctx, "ada"))
	status(t, c.RemoveUser(ctx, "a/b?c"), 404, "not_found") // a name stays one segment of the path
}

func TestDevices(t *testing.T) {
	h, c := open(t)
	ctx := t.Context()
	token, err := c.CreateEnrollToken(ctx, "pump-7", "north", "", 5)
	if check(t, err); token.Token == "" || token.Device != "pump-7" || token.Site != "north" {
		t.Errorf("CreateEnrollToken = %+v", token)
	}
	_, err = c.CreateEnrollToken(ctx, "Pump 7", "north", "lab", 0)
	status(t, err, 422, "invalid")
	if list, err := c.EnrollTokens(ctx); err != nil || len(list) != 1 || list[0].ID != token.ID {
		t.Errorf("EnrollTokens = %+v, %v", list, err)
	}
	check(t, h.DB.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(
			q.InsertDevice(ctx, meta.Device{Name: "pump-7", Site: "north", PublicKey: "UKEY", Suspect: "two of them"}),
			q.PutTask(ctx, meta.Task{Name: "flow", Kind: "forecast", Spec: "task: flow"}, "pump-7"))
	}))
	if list, err := c.Devices(ctx); err != nil || len(list) != 1 || list[0].Health != "unknown" {
		t.Errorf("Devices = %+v, %v", list, err)
	}
	check(t, c.ClearSuspect(ctx, "pump-7"))
	if d, err := c.Device(ctx, "pump-7"); err != nil || d.Suspect != "" || d.Site != "north" {
		t.Errorf("Device = %+v, %v", d, err)
	}
	_, err = c.Device(ctx, "none")
	status(t, err, 404, "not_found")
	check(t, c.RevokeDevice(ctx, "pump-7"))
	if tasks, err := c.Tasks(ctx); err != nil || len(tasks) != 1 || tasks[0].Name != "flow" {
		t.Errorf("Tasks = %+v, %v", tasks, err)
	}
	if task, err := c.Task(ctx, "flow"); err != nil || !slices.Equal(task.Devices, []string{"pump-7"}) {
		t.Errorf("Task = %+v, %v", task, err)
	}
	j, err := c.Train(ctx, "flow", "sensor replaced", true)
	if check(t, err); j.State != training.Queued || j.Spec.Trigger != "sensor replaced" || !j.Spec.Force {
		t.Errorf("Train = %+v", j)
	}
	if got, err := c.Job(ctx, j.ID); err != nil || got.ID != j.ID || got.Spec != j.Spec {
		t.Errorf("Job = %+v, %v, want %+v", got, err, j)
	}
	if jobs, err := c.Jobs(ctx, "flow", training.Queued); err != nil || len(jobs) != 1 {
		t.Errorf("Jobs = %+v, %v", jobs, err)
	}
	if jobs, err := c.Jobs(ctx, "other", ""); err != nil || len(jobs) != 0 {
		t.Errorf("Jobs of another task = %+v, %v", jobs, err)
	}
	if got, err := c.CancelJob(ctx, j.ID); err != nil || got.State != training.Cancelled {
		t.Errorf("CancelJob = %+v, %v", got, err)
	}
	_, err = c.CancelJob(ctx, j.ID)
	status(t, err, 409, "job_ended")
	_, err = c.CancelJob(ctx, "j-none")
	status(t, err, 404, "not_found")
	_, err = c.Jobs(ctx, "", "lost")
	status(t, err, 422, "invalid")
}

func TestModelsAndRollouts(t *testing.T) {
	_, c := open(t)
	ctx := t.Context()
	data := []byte("bytes of an artifact")
	m, err := c.Upload(ctx, data, "flow", "a shop")
	if check(t, err); m.Name != "flow@1" || m.Digest != artifact.Digest(data) {
		t.Fatalf("Upload = %+v", m)
	}
	for _, ref := range []string{"flow@1", m.Digest, m.Digest[:6]} {
		if got, err := c.FindModel(ctx, ref); err != nil || got.Digest != m.Digest {
			t.Errorf("FindModel(%q) = %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"flow@2", "flow@champion", "other@1", m.Digest[:5], ""} {
		if got, err := c.FindModel(ctx, ref); !errors.Is(err, client.ErrNoModel) {
			t.Errorf("FindModel(%q) = %+v, %v, want ErrNoModel", ref, got, err)
		}
	}
	if got, err := c.Download(ctx, m); err != nil || string(got) != string(data) {
		t.Errorf("Download = %q, %v", got, err)
	}
	if l, err := c.Lineage(ctx, m.Digest); err != nil || !strings.Contains(string(l.Model.Lineage), "a shop") {
		t.Errorf("Lineage = %+v, %v", l, err)
	}

	spec := rollout.Spec{Task: "flow", Digest: m.Digest, Approval: true}
	if p, err := c.PlanRollout(ctx, spec); err != nil || len(p.Spec.Stages) != 2 || p.Digest != m.Digest {
		t.Errorf("PlanRollout = %+v, %v, want the default stages", p, err)
	}
	r, err := c.CreateRollout(ctx, spec)
	if check(t, err); r.State != rollout.Awaiting || r.Model != "flow@1" {
		t.Errorf("CreateRollout = %+v", r)
	}
	_, err = c.CreateRollout(ctx, spec)
	status(t, err, 409, "rollout_busy")
	_, err = c.CommandRollout(ctx, r.ID, rollout.Resume, "")
	status(t, err, 422, "rollout_refused")
	if r, err = c.CommandRollout(ctx, r.ID, rollout.Abort, "holiday"); err != nil || r.State != rollout.Aborted {
		t.Errorf("CommandRollout = %+v, %v", r, err)
	}
	if got, err := c.Rollout(ctx, r.ID); err != nil || got.ID != r.ID || got.Status.Reason != "holiday" {
		t.Errorf("Rollout = %+v, %v", got, err)
	}
	if list, err := c.Rollouts(ctx, "flow", string(rollout.Aborted)); err != nil || len(list) != 1 {
		t.Errorf("Rollouts = %+v, %v", list, err)
	}
	check(t, c.Tombstone(ctx, m.Digest, "worse"))
	_, err = c.CreateRollout(ctx, spec)
	status(t, err, 410, "tombstoned")

	if mod, err := c.PutModule(ctx, "air", wasmtest.Arithmetic()); err != nil || mod.Name != "air" || len(mod.Functions) != 2 {
		t.Errorf("PutModule = %+v, %v", mod, err)
	}
	_, err = c.PutModule(ctx, "air", []byte("none"))
	status(t, err, 422, "invalid")
	if list, err := c.Modules(ctx); err != nil || len(list) != 1 {
		t.Errorf("Modules = %+v, %v", list, err)
	}
	check(t, c.RemoveModule(ctx, "air"))
}

func TestData(t *testing.T) {
	h, c := open(t)
	ctx := t.Context()
	check(t, h.DB.Tx(ctx, func(q *meta.Queries) error {
		return q.InsertGap(ctx, meta.Gap{Device: "pump-7", Run: "r", From: 3, To: 5, Reason: "cap"})
	}))
	if gaps, err := c.Gaps(ctx, "pump-7"); err != nil || len(gaps) != 1 || gaps[0].To != 5 {
		t.Errorf("Gaps = %+v, %v", gaps, err)
	}
	_, err := c.Check(ctx, "pump-7")
	status(t, err, 404, "not_found")
	check(t, h.DB.Tx(ctx, func(q *meta.Queries) error {
		return q.InsertDevice(ctx, meta.Device{Name: "pump-7", Site: "north", PublicKey: "key"})
	}))
	if x, err := c.Check(ctx, "pump-7"); err != nil || x.Device != "pump-7" || x.Readings != 0 {
		t.Errorf("Check = %+v, %v", x, err)
	}
	rc, err := c.Export(ctx, client.Readings{Device: "pump-7", Series: []string{"a", "b"}, From: 1, Format: "csv", Limit: 10})
	check(t, err)
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || !strings.HasPrefix(string(b), "device,run,") {
		t.Errorf("Export = %q, %v, want the header", b, err)
	}
	_, err = c.Export(ctx, client.Readings{Device: "pump-7", After: "nowhere"})
	status(t, err, 422, "invalid")
}

// TestOtherServers meets what is no hub, or none any more.
func TestOtherServers(t *testing.T) {
	answer := func(status int, body string) *client.Client {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return client.New(srv.URL, "")
	}
	_, err := answer(502, "<html>Bad Gateway").Users(t.Context())
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 502 || e.Code != "" || e.Message != "502 Bad Gateway" {
		t.Errorf("a proxy's answer = %v, want its status", err)
	}
	if _, err := answer(200, "<html>welcome").Users(t.Context()); err == nil || !strings.Contains(err.Error(), "is it a hub?") {
		t.Errorf("a page = %v, want an error", err)
	}
	for _, body := range []string{"{}", `{"tasks":[]}`, `{"items":null}`} {
		if _, err := answer(200, body).Tasks(t.Context()); err == nil || !strings.Contains(err.Error(), "not as a hub does") {
			t.Errorf("Tasks of %s = %v, want an error", body, err)
		}
	}
	if _, err := answer(200, "bytes").Download(t.Context(), api.Model{Name: "flow@1", Digest: "d"}); err == nil || !strings.Contains(err.Error(), "got bytes of digest") {
		t.Errorf("other bytes = %v, want an error", err)
	}
	gone := client.New("http://127.0.0.1:1", "")
	_, err = gone.Users(t.Context())
	if e, ok := errors.AsType[*client.Unreachable](err); !ok || e.Hub != gone.URL {
		t.Errorf("no server = %v, want Unreachable", err)
	}
}

// TestWaitReady asks again until a hub is ready, or its caller has waited long enough.
func TestWaitReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, ready := 0, 4
		c := &client.Client{URL: "http://hub", HTTP: &http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
			asked++
			status := http.StatusServiceUnavailable
			if asked == ready {
				status = http.StatusOK
			}
			return &http.Response{StatusCode: status, Body: http.NoBody}
		})}}
		if err := c.WaitReady(t.Context()); err != nil || asked != ready {
			t.Errorf("WaitReady = %v after %d requests, want nil after %d", err, asked, ready)
		}
		asked, ready = 0, 1000
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "not ready") || asked > 25 {
			t.Errorf("WaitReady = %v after %d requests, want an error after a second", err, asked)
		}
	})
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }
