package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

func (f *fixture) tx(fn func(*meta.Queries) error) {
	f.t.Helper()
	if err := f.db.Tx(f.t.Context(), fn); err != nil {
		f.t.Fatal(err)
	}
}

// send posts what must be taken with a status.
func (f *fixture) send(method, path, token, body string, status int) string {
	f.t.Helper()
	code, reply := f.do(method, path, token, body)
	if code != status {
		f.t.Fatalf("%s %s = %d %s, want %d", method, path, code, reply, status)
	}
	return reply
}

// explained is refused, with words that the message must have.
func (f *fixture) explained(method, path, token, body string, status int, words ...string) {
	f.t.Helper()
	code, reply := f.do(method, path, token, body)
	var e api.Error
	if err := json.Unmarshal([]byte(reply), &e); err != nil || code != status || e.Detail.Code == "" {
		f.t.Errorf("%s %s %s = %d %s, want %d and a code", method, path, body, code, reply, status)
	}
	for _, w := range words {
		if !strings.Contains(e.Detail.Message, w) {
			f.t.Errorf("%s %s %s: %q does not explain %q", method, path, body, e.Detail.Message, w)
		}
	}
}

const flowFile = "task: flow\nkind: forecast\ntarget: {series: q, horizon: 1h}\ninputs:\n  - {series: q, topic: t, unit: l/s}\nrows: {on: q}\n"

// task stores a task that a device runs.
func (f *fixture) task(name, device string) {
	f.t.Helper()
	f.tx(func(q *meta.Queries) error {
		return q.PutTask(f.t.Context(), meta.Task{
			Name:      name,
			Kind:      "forecast",
			Spec:      strings.Replace(flowFile, "flow", name, 1),
			Hash:      "h",
			FirstSeen: 1,
			LastSeen:  2,
		}, device)
	})
}

// TestDevice reads everything about a device before and after it has reported, and changes it by
// every command of its noun.
func TestDevice(t *testing.T) {
	f := newFixture(t)
	viewer, operator, admin := f.login("viewer"), f.login("operator"), f.login("admin")
	f.device("pump-1")
	f.device("pump-2")
	var d struct {
		Name, Site, Class, Health string
		RevokedAt                 int64 `json:"revoked_at"`
		ReportedAt                int64 `json:"reported_at"`
		Suspect                   string
		Reasons                   []string
		Tasks                     []string
		Outbox                    *spec.ReportedOutbox
		Runs                      []struct{ Run string }
		Host                      []struct{ Metric string }
		Desired                   spec.Desired
		Reported                  *spec.Reported
		Why                       map[string]api.Assignment
		Applied                   map[string]int64
	}
	f.get("/v1/devices/pump-1", viewer, &d)
	if d.Name != "pump-1" || d.Site != "north" || d.Class != "linux/amd64" || d.Health != "unknown" || d.Reported != nil || d.Outbox != nil || len(d.Applied) != 0 {
		t.Errorf("a device that never reported = %+v", d)
	}
	f.tx(func(q *meta.Queries) error {
		if err := q.PutReported(t.Context(), meta.Document{
			Device:   "pump-1",
			Document: `{"device":"pump-1","health":"degraded","reasons":["hot"],"outbox":{"pending_records":17},"tasks":{"flow":{"kind":"forecast"}}}`,
			At:       7,
		}); err != nil {
			return err
		}
		if _, err := q.PutRun(t.Context(), meta.Run{Device: "pump-1", Run: "r1", Prev: "r0"}); err != nil {
			return err
		}
		if err := q.PutHostValue(t.Context(), meta.HostValue{Device: "pump-1", Metric: "cpu_percent", Value: 12.5, Time: 3}); err != nil {
			return err
		}
		return q.InsertIntervals(t.Context(), []meta.Interval{
			{Device: "pump-1", Run: "r1", Class: int64(wire.ClassReading), From: 1, To: 10},
			{Device: "pump-1", Run: "r1", Class: int64(wire.ClassLabel), From: 1, To: 3},
		})
	})
	f.get("/v1/devices/pump-1", viewer, &d)
	if d.Health != "degraded" || d.ReportedAt != 7 || len(d.Reasons) != 1 || d.Outbox == nil || d.Outbox.PendingRecords != 17 || len(d.Tasks) != 1 {
		t.Errorf("a device that reported = %+v", d)
	}
	if len(d.Runs) != 1 || d.Runs[0].Run != "r1" || len(d.Host) != 1 || d.Host[0].Metric != "cpu_percent" || d.Applied["reading"] != 10 || d.Applied["label"] != 3 {
		t.Errorf("runs %+v, host %+v, applied %v, want what is stored", d.Runs, d.Host, d.Applied)
	}
	if !strings.Contains(d.Why["flow"].Reason, "baselines") {
		t.Errorf("why = %+v", d.Why)
	}
	var list struct {
		Items []struct{ Name, Health string }
	}
	f.get("/v1/devices", viewer, &list)
	if len(list.Items) != 2 || list.Items[0].Health != "degraded" || list.Items[1].Health != "unknown" {
		t.Errorf("the list has %+v", list.Items)
	}
	f.get("/v1/devices?site=south", viewer, &list)
	if len(list.Items) != 0 {
		t.Errorf("site south has %+v, want nobody", list.Items)
	}
	f.explained("GET", "/v1/devices/pump-9", viewer, "", 404, `device "pump-9"`)
	for _, path := range []string{"/v1/devices/pump-9/revoke", "/v1/devices/pump-9/clear-suspect"} {
		f.refused("POST", path, operator, "", 404, "not_found")
	}
	f.refused("DELETE", "/v1/devices/pump-9", admin, "", 404, "not_found")

	f.tx(func(q *meta.Queries) error {
		row, err := q.Device(t.Context(), "pump-1")
		if err != nil {
			return err
		}
		row.Suspect = "two of them"
		return q.UpdateDevice(t.Context(), row)
	})
	f.send("POST", "/v1/devices/pump-1/clear-suspect", operator, "", 204)
	if f.get("/v1/devices/pump-1", viewer, &d); d.Suspect != "" {
		t.Errorf("suspect = %q after it was cleared", d.Suspect)
	}
	f.send("POST", "/v1/devices/pump-1/revoke", operator, "", 204)
	if f.get("/v1/devices/pump-1", viewer, &d); d.RevokedAt == 0 {
		t.Error("a revoked device is shown as if it were not")
	}
	f.send("DELETE", "/v1/devices/pump-2", admin, "", 204)
	f.refused("GET", "/v1/devices/pump-2", viewer, "", 404, "not_found")
}

// TestTask reads a task with its devices, champion, drifts, models and recent quality.
func TestTask(t *testing.T) {
	f := newFixture(t)
	viewer := f.login("viewer")
	f.device("pump-1")
	f.task("flow", "pump-1")
	var task struct {
		Name, Champion string
		Devices        []string
		Drifts         []struct{ Kind, Class string }
		Models         []struct{ Name string }
		Recent         struct {
			Labels   int64
			MAE      *float64
			Coverage *float64
		}
	}
	f.get("/v1/tasks/flow", viewer, &task)
	if task.Name != "flow" || len(task.Devices) != 1 || task.Champion != "" || task.Recent.Labels != 0 || task.Recent.MAE != nil {
		t.Errorf("a task without anything = %+v, want no number where there is none", task)
	}
	m := f.model("flow", "one")
	f.model("level", "other")
	f.tx(func(q *meta.Queries) error {
		if err := q.SetChampion(t.Context(), meta.Champion{Task: "flow", Digest: m.Digest, Since: 1}); err != nil {
			return err
		}
		for i, kind := range []string{"drift", "note"} {
			if err := q.InsertEvent(t.Context(), meta.Event{
				ID:         kind,
				Device:     "pump-1",
				Class:      2,
				Kind:       kind,
				Task:       "flow",
				Detail:     "{}",
				ReceivedAt: int64(i + 1),
			}); err != nil {
				return err
			}
		}
		return q.InsertLabelPoints(t.Context(), []meta.LabelPoint{
			{Task: "flow", Device: "pump-1", RowTime: 10, Truth: 10, Predicted: 11, Lower: 9, Upper: 12},
			{Task: "flow", Device: "pump-1", RowTime: 20, Truth: 10, Predicted: 13, Lower: 12, Upper: 14},
		})
	})
	f.get("/v1/tasks/flow", viewer, &task)
	if task.Champion != m.Digest || len(task.Drifts) != 1 || task.Drifts[0].Kind != "drift" || len(task.Models) != 1 || task.Models[0].Name != "flow@1" {
		t.Errorf("task = %+v, want the champion, one drift and one model", task)
	}
	if task.Recent.Labels != 2 || *task.Recent.MAE != 2 || *task.Recent.Coverage != 0.5 {
		t.Errorf("recent = %+v, want 2 labels, error 2, coverage a half", task.Recent)
	}
	var points struct {
		Items []struct {
			RowTime int64 `json:"row_time"`
		}
	}
	for path, want := range map[string]int{
		"/v1/tasks/flow/labels":               2,
		"/v1/tasks/flow/labels?from=11":       1,
		"/v1/tasks/flow/labels?to=10":         1,
		"/v1/tasks/flow/labels?limit=1":       1,
		"/v1/tasks/flow/labels?device=pump-2": 0,
		"/v1/tasks/none/labels":               0,
	} {
		if f.get(path, viewer, &points); len(points.Items) != want {
			t.Errorf("GET %s has %d points, want %d", path, len(points.Items), want)
		}
	}
	var list struct{ Items []struct{ Name string } }
	if f.get("/v1/tasks", viewer, &list); len(list.Items) != 1 || list.Items[0].Name != "flow" {
		t.Errorf("tasks = %+v", list.Items)
	}
	f.explained("GET", "/v1/tasks/none", viewer, "", 404, `task "none"`)
}

// TestEvents filters events, and shows losses, conflicts and what could not be read.
func TestEvents(t *testing.T) {
	f := newFixture(t)
	operator := f.login("operator")
	f.tx(func(q *meta.Queries) error {
		for i, e := range []meta.Event{
			{ID: "1", Device: "a", Class: 1, Kind: "stuck", Task: "flow", Detail: `{"series":"q"}`},
			{ID: "2", Device: "a", Class: 2, Kind: "drift", Task: "flow", Detail: `{}`},
			{ID: "3", Device: "b", Class: 2, Kind: "drift", Task: "level", Detail: `{}`},
		} {
			e.Time, e.ReceivedAt = int64(100+i), int64(10+i)
			if err := q.InsertEvent(t.Context(), e); err != nil {
				return err
			}
		}
		if err := q.InsertGap(t.Context(), meta.Gap{Device: "a", Run: "r", Class: 4, From: 1, To: 5, Reason: "cap", Series: "{}"}); err != nil {
			return err
		}
		if _, err := q.InsertConflict(t.Context(), meta.Conflict{SHA256: "s", Device: "a", Run: "r", Class: 4, From: 1, To: 5, Bytes: []byte("secret")}); err != nil {
			return err
		}
		_, err := q.InsertQuarantined(t.Context(), meta.Quarantined{SHA256: "s", Subject: "edge.north.a.tel.live", Reason: "no chunk", Bytes: []byte("secret")})
		return err
	})
	for query, want := range map[string]string{
		"":                           "3 2 1", // the last received first
		"?device=a":                  "2 1",
		"?task=level":                "3",
		"?kind=drift":                "3 2",
		"?class=alarm":               "1",
		"?class=event":               "3 2",
		"?since=11":                  "3 2",
		"?before=12":                 "2 1",
		"?before=12&limit=1":         "2",
		"?device=a&kind=drift":       "2",
		"?before=12,3":               "2 1", // a cursor: received_at,id
		"?before=12,4":               "3 2 1",
		"?after=11":                  "3 2",
		"?after=11,2":                "3",
		"?after=11,2&since=10":       "3",
		"?after=10,1&since=12":       "3",
		"?after=10,1&before=12,3":    "2",
		"?device=b&class=alarm":      "",
		"?since=11&before=12&task=x": "",
	} {
		var page struct {
			Items []struct {
				ID, Class string
				Detail    map[string]string
			}
		}
		f.get("/v1/events"+query, operator, &page)
		ids := []string{}
		for _, e := range page.Items {
			ids = append(ids, e.ID)
			if e.ID == "1" && (e.Class != "alarm" || e.Detail["series"] != "q") {
				t.Errorf("event 1 = %+v, want an alarm with its detail as JSON", e)
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("GET /v1/events%s = %s, want %s", query, got, want)
		}
	}
	f.explained("GET", "/v1/events?before=yesterday", operator, "", 422, "query.before", "yesterday", "received_at,id")
	f.explained("GET", "/v1/events?after=,1", operator, "", 422, "query.after")
	f.explained("GET", "/v1/events?class=loud", operator, "", 422, "query.class", "alarm", "event")
	for path, want := range map[string]string{
		"/v1/gaps?device=a":      `"reason":"cap"`,
		"/v1/conflicts?device=a": `"sha256":"s"`,
		"/v1/quarantine":         `"reason":"no chunk"`,
	} {
		if reply := f.send("GET", path, operator, "", 200); !strings.Contains(reply, want) || strings.Contains(reply, "secret") {
			t.Errorf("GET %s = %s, want %s and no bytes", path, reply, want)
		}
	}
	for _, path := range []string{"/v1/gaps?device=b", "/v1/conflicts?device=b"} {
		if reply := f.send("GET", path, operator, "", 200); !strings.Contains(reply, `"items":[]`) {
			t.Errorf("GET %s = %s, want an empty list", path, reply)
		}
	}
}

// TestJobs queues, shows, filters and cancels trainings.
func TestJobs(t *testing.T) {
	f := newFixture(t)
	viewer, engineer := f.login("viewer"), f.login("engineer")
	f.device("pump-1")
	f.task("flow", "pump-1")
	type job struct {
		ID, Task, State, Error string
		CreatedBy              string `json:"created_by"`
		Spec                   struct {
			Trigger string
			Force   bool
		}
	}
	var first, second job
	decode(t, f.send("POST", "/v1/tasks/flow/train", engineer, `{"reason":"sensor replaced","force":true}`, 200), &first)
	if first.Task != "flow" || first.State != "queued" || first.CreatedBy != "user/engineer" || first.Spec.Trigger != "sensor replaced" || !first.Spec.Force {
		t.Errorf("train = %+v", first)
	}
	var same struct {
		ID       string
		Existing bool
	}
	decode(t, f.send("POST", "/v1/tasks/flow/train", engineer, `{}`, 200), &same)
	if same.ID != first.ID || !same.Existing {
		t.Errorf("train while it is queued = %+v, want job %s again", same, first.ID)
	}
	f.explained("POST", "/v1/tasks/none/train", engineer, `{}`, 404, `task "none"`)
	f.explained("POST", "/v1/tasks/flow/train", engineer, `{"reasons":"x"}`, 422, "reasons")
	f.explained("POST", "/v1/tasks/flow/train", engineer, `{"force":"yes"}`, 422, "body.force", "boolean")
	decode(t, f.send("GET", "/v1/jobs/"+first.ID, viewer, "", 200), &second)
	if second.ID != first.ID || second.State != "queued" {
		t.Errorf("job = %+v, want the one queued", second)
	}
	f.refused("GET", "/v1/jobs/j-none", viewer, "", 404, "not_found")
	f.refused("POST", "/v1/jobs/j-none/cancel", engineer, "", 404, "not_found")
	decode(t, f.send("POST", "/v1/jobs/"+first.ID+"/cancel", engineer, "", 200), &second)
	if second.State != "cancelled" {
		t.Errorf("cancel = %+v", second)
	}
	f.refused("POST", "/v1/jobs/"+first.ID+"/cancel", engineer, "", 409, "job_ended")
	f.refused("POST", "/v1/jobs/"+first.ID+"/cancel", viewer, "", 403, "forbidden")
	decode(t, f.send("POST", "/v1/tasks/flow/train", engineer, `{}`, 200), &second)
	if second.Spec.Trigger != "command" {
		t.Errorf("train without a reason has the trigger %q, want command", second.Spec.Trigger)
	}
	for query, want := range map[string]int{
		"":                         2,
		"?state=cancelled":         1,
		"?state=queued&task=flow":  1,
		"?state=queued&task=level": 0,
		"?limit=1":                 1,
	} {
		var page struct{ Items []job }
		if f.get("/v1/jobs"+query, viewer, &page); len(page.Items) != want {
			t.Errorf("GET /v1/jobs%s has %d jobs, want %d", query, len(page.Items), want)
		}
	}
	f.explained("GET", "/v1/jobs?state=lost", viewer, "", 422, "query.state", "queued")
}

// TestAccess creates and removes users, and holds what is refused and why.
func TestAccess(t *testing.T) {
	f := newFixture(t)
	admin, viewer := f.login("admin"), f.login("viewer")
	var me api.Me
	for token, want := range map[string]api.Me{
		admin:  {Name: "user/admin", Role: "admin"},
		viewer: {Name: "user/viewer", Role: "viewer"},
	} {
		if f.get("/v1/me", token, &me); me != want {
			t.Errorf("me = %+v, want %+v", me, want)
		}
	}
	decode(t, f.send("POST", "/v1/users", admin, `{"name":"eve","role":"operator","password":"eve takes the stairs"}`, 201), &me)
	if me != (api.Me{Name: "user/eve", Role: "operator"}) {
		t.Errorf("create user = %+v", me)
	}
	eve := f.login("eve")
	if reply := f.send("GET", "/v1/users", admin, "", 200); !strings.Contains(reply, `"eve"`) || strings.Contains(reply, "argon") || strings.Contains(reply, "hash") {
		t.Errorf("users = %s, want eve and no secret", reply)
	}
	f.refused("POST", "/v1/users", admin, `{"name":"eve","role":"viewer","password":"eve takes the stairs"}`, 409, "user_exists")
	f.explained("POST", "/v1/users", admin, `{"name":"Eve!","role":"viewer","password":"eve takes the stairs"}`, 422, `user name "Eve!"`, "a-z, 0-9")
	f.explained("POST", "/v1/users", admin, `{"name":"bob","role":"king","password":"bob password"}`, 422, "body.role", "viewer, operator, engineer, admin")
	f.explained("POST", "/v1/users", admin, `{"name":"bob","role":"viewer","password":"x"}`, 422, "password")
	f.explained("PUT", "/v1/users/eve/password", admin, `{"password":"x"}`, 422, "password")
	f.refused("PUT", "/v1/users/eve/password", eve, `{"password":"another password","current":"wrong"}`, 401, "login_failed")
	f.refused("PUT", "/v1/users/nobody/password", admin, `{"password":"another password"}`, 404, "not_found")
	f.send("PUT", "/v1/users/eve/password", admin, `{"password":"another password"}`, 204)
	f.refused("GET", "/v1/me", eve, "", 401, "unauthorized")
	f.explained("DELETE", "/v1/users/admin", admin, "", 422, "cannot remove yourself")
	f.send("DELETE", "/v1/users/eve", admin, "", 204)
	f.refused("DELETE", "/v1/users/eve", admin, "", 404, "not_found")
	f.refused("POST", "/v1/login", "", `{"user":"eve","password":"another password"}`, 401, "login_failed")

	f.explained("POST", "/v1/tokens", admin, `{"name":"C I","role":"viewer"}`, 422, `token name "C I"`)
	f.explained("POST", "/v1/tokens", admin, `{"name":"ci","role":"viewer","days":4000}`, 422, "body.days", "3650")
	f.refused("DELETE", "/v1/tokens/none", admin, "", 404, "not_found")
	for body, word := range map[string]string{
		`{"device":"A","site":"north"}`:                `device name "A"`,
		`{"device":"a","site":"N"}`:                    `site name "N"`,
		`{"device":"a","site":"north","cohort":"B b"}`: `cohort name "B b"`,
		`{"device":"a","site":"north","minutes":-1}`:   "body.minutes",
	} {
		f.explained("POST", "/v1/enroll-tokens", admin, body, 422, word)
	}
	var tokens struct {
		Items []struct {
			ID     string
			Device string
		}
	}
	f.send("POST", "/v1/enroll-tokens", admin, `{"device":"a","site":"north"}`, 201)
	if f.get("/v1/enroll-tokens", admin, &tokens); len(tokens.Items) != 1 || tokens.Items[0].Device != "a" {
		t.Fatalf("enrolment tokens = %+v", tokens.Items)
	}
	f.send("DELETE", "/v1/enroll-tokens/"+tokens.Items[0].ID, admin, "", 204)
	f.refused("DELETE", "/v1/enroll-tokens/none", admin, "", 404, "not_found")
}

// TestAudit holds that what people did is in the chain, in order, and that a changed line is found.
func TestAudit(t *testing.T) {
	f := newFixture(t)
	admin := f.login("admin")
	f.send("POST", "/v1/tokens", admin, `{"name":"ci","role":"viewer"}`, 201)
	f.send("POST", "/v1/users", admin, `{"name":"eve","role":"viewer","password":"eve takes the stairs"}`, 201)
	f.send("DELETE", "/v1/users/eve", admin, "", 204)
	var page struct {
		Items []struct{ Actor, Action, Object string }
	}
	f.get("/v1/audit?limit=1000", admin, &page)
	var got []string
	for _, e := range page.Items {
		if e.Actor == "user/admin" {
			got = append(got, e.Action+" "+e.Object)
		}
	}
	if want := "token.create ci, user.create eve, user.delete eve"; strings.Join(got, ", ") != want {
		t.Errorf("the audit has %v, want %s", got, want)
	}
	var verdict struct{ Status, Error string }
	if f.get("/v1/audit/verify", admin, &verdict); verdict.Status != "ok" {
		t.Errorf("verify = %+v", verdict)
	}
	f.alter(`UPDATE audit SET object = 'bob' WHERE action = 'user.create' AND object = 'eve'`)
	if f.get("/v1/audit/verify", admin, &verdict); verdict.Status != "broken" || verdict.Error == "" {
		t.Errorf("verify of a changed line = %+v, want broken and where", verdict)
	}
}

// TestRolloutAnswers reads what a rollout and its plan show, and its commands' answers.
func TestRolloutAnswers(t *testing.T) {
	f := newFixture(t)
	viewer, operator := f.login("viewer"), f.login("operator")
	f.device("pump-1")
	f.task("flow", "pump-1")
	m := f.model("flow", "one")
	spec := `{"task":"flow","digest":"` + m.Digest + `","stages":[{"name":"all","percent":100}]}`
	var plan struct {
		Devices []struct{ Device, Stage string }
		Offline int
	}
	decode(t, f.send("POST", "/v1/rollouts/plan", operator, spec, 200), &plan)
	if len(plan.Devices) != 1 || plan.Devices[0].Device != "pump-1" || plan.Devices[0].Stage != "all" || plan.Offline != 1 {
		t.Errorf("plan = %+v", plan)
	}
	type rollout struct {
		ID, State, Model string
		CreatedBy        string `json:"created_by"`
		Status           struct {
			Reason  string
			History []struct{ State, Reason, Actor string }
		}
		Devices []struct{ Device string }
	}
	var list struct{ Items []rollout }
	if f.get("/v1/rollouts", viewer, &list); len(list.Items) != 0 {
		t.Errorf("a plan created %+v", list.Items)
	}
	var r rollout
	decode(t, f.send("POST", "/v1/rollouts", operator, spec, 200), &r)
	if r.State != "running" || r.Model != "flow@1" || r.CreatedBy != "user/operator" {
		t.Errorf("create = %+v", r)
	}
	decode(t, f.send("POST", "/v1/rollouts/"+r.ID+"/pause", operator, `{"reason":" storm "}`, 200), &r)
	if n := len(r.Status.History); r.State != "paused" || r.Status.Reason != "storm" || n == 0 || r.Status.History[n-1].Actor != "user/operator" {
		t.Errorf("pause = %+v", r)
	}
	decode(t, f.send("GET", "/v1/rollouts/"+r.ID, viewer, "", 200), &r)
	if len(r.Devices) != 1 || r.Devices[0].Device != "pump-1" {
		t.Errorf("devices of the rollout = %+v", r.Devices)
	}
	for query, want := range map[string]int{"": 1, "?task=flow": 1, "?task=level": 0, "?state=paused": 1, "?state=running": 0} {
		if f.get("/v1/rollouts"+query, viewer, &list); len(list.Items) != want {
			t.Errorf("GET /v1/rollouts%s has %d, want %d", query, len(list.Items), want)
		}
	}
	f.explained("POST", "/v1/rollouts/"+r.ID+"/approve", operator, `{}`, 422, "is paused", "possible only while")
	f.explained("POST", "/v1/rollouts/plan", operator, strings.Replace(spec, "100", "50", 1), 422, "the last one must be 100 percent, is 50")
	f.explained("POST", "/v1/rollouts", operator, strings.Replace(spec, "percent", "per_cent", 1), 422, "per_cent")
	f.refused("POST", "/v1/rollouts/"+r.ID+"/pause", viewer, `{}`, 403, "forbidden")
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
