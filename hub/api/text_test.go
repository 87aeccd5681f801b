package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestUnfitTexts holds that a text which one of the databases does not take is the caller's fault on
// both: in the path, the query or the body, and without any credential.
func TestUnfitTexts(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		f := newFixtureOn(t, d)
		token := f.login("admin")
		for _, tt := range []struct{ method, path, token, body, want string }{
			{"GET", "/v1/events?device=%00", token, "", `parameter \"device\" holds a NUL`},
			{"GET", "/v1/events?device=%ff", token, "", `parameter \"device\" is not valid UTF-8`},
			{"GET", "/v1/events?%00=a", token, "", "holds a NUL"},
			{"GET", "/v1/jobs/%00", token, "", "the path holds a NUL"},
			{"GET", "/v1/devices/%00", token, "", "the path holds a NUL"},
			{"GET", "/v1/devices/a%ffb", "", "", "the path is not valid UTF-8"},
			{"GET", "/artifact/%00", token, "", "the path holds a NUL"},
			{"POST", "/v1/rollouts", token, `{"digest":"\u0000","task":"t"}`, "holds a NUL"},
			{"POST", "/v1/rollouts", token, `{"a\u0000":1}`, "holds a NUL"},
			{"POST", "/v1/login", "", `{"user":"\u0000","password":"sesame"}`, "holds a NUL"},
			{"POST", "/v1/login", "", `{"user":"x","password":"sesame\u0000"}`, "a text of the body holds a NUL"},
			{"POST", "/v1/login", "", "{\"user\":\"\xff\",\"password\":\"sesame\"}", "is not valid UTF-8"},
			{"POST", "/v1/tasks/t/train", token, `{"reason":"a\u0000b"}`, "holds a NUL"},
		} {
			code, b := f.do(tt.method, tt.path, tt.token, tt.body)
			var e struct{ Error struct{ Code string } }
			if code != 422 || json.Unmarshal([]byte(b), &e) != nil || e.Error.Code != "invalid" || !strings.Contains(b, tt.want) || strings.Contains(b, "sesame") {
				t.Errorf("%s %s %s = %d %s, want 422 and %q", tt.method, tt.path, tt.body, code, b, tt.want)
			}
		}
		if code, b := f.do("GET", "/v1/events?device=%E2%82%AC", token, ""); code != 200 {
			t.Errorf("a text of UTF-8 = %d %s", code, b)
		}
		if strings.Contains(f.log.String(), "level=ERROR") {
			t.Errorf("the log has\n%s", f.log.String())
		}
	})
}

// TestUnreadableState holds that one stored state that cannot be decoded hides no other device.
func TestUnreadableState(t *testing.T) {
	f := newFixture(t)
	if err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
		for name, document := range map[string]string{"a": `{"tasks":[]}`, "b": `{"health":"ok"}`} {
			if err := q.InsertDevice(t.Context(), meta.Device{Name: name, Site: "north", PublicKey: name}); err != nil {
				return err
			}
			if err := q.PutReported(t.Context(), meta.Document{Device: name, Document: document, At: 7}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	token := f.login("viewer")
	type state struct {
		Name, Health string
		Reasons      []string
		ReportedAt   int64 `json:"reported_at"`
	}
	var list struct{ Items []state }
	code, b := f.do("GET", "/v1/devices", token, "")
	if code != 200 || json.Unmarshal([]byte(b), &list) != nil || len(list.Items) != 2 {
		t.Fatalf("devices = %d %s, want both", code, b)
	}
	if ok := list.Items[1]; ok.Health != "ok" || ok.Reasons != nil {
		t.Errorf("device b = %+v", ok)
	}
	var one state
	if code, b = f.do("GET", "/v1/devices/a", token, ""); code != 200 || json.Unmarshal([]byte(b), &one) != nil {
		t.Fatalf("device a = %d %s", code, b)
	}
	for _, s := range []state{list.Items[0], one} {
		if s.Health != "unknown" || s.ReportedAt != 7 || len(s.Reasons) != 1 || !strings.Contains(s.Reasons[0], "cannot be read") {
			t.Errorf("device a = %+v, want its reason", s)
		}
	}
}
