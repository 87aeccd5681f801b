package api_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/hub/api"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestAccessTable compares who may call what with a golden file: a role that falls, or a route that
// comes without anybody deciding who may call it, is seen in the diff. Every role is asked for in
// TestAuthorisation.
func TestAccessTable(t *testing.T) {
	f := newFixture(t)
	var b strings.Builder
	for _, r := range f.api.Table() {
		fmt.Fprintf(&b, "%-8s %-6s %s\n", r.Role, r.Method, r.Path)
	}
	file := filepath.Join("testdata", "access.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		have, wanted := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
		for _, l := range have {
			if !slices.Contains(wanted, l) {
				t.Errorf("+ %s", l)
			}
		}
		for _, l := range wanted {
			if !slices.Contains(have, l) {
				t.Errorf("- %s", l)
			}
		}
		t.Errorf("the authorisation table is not that of %s: if it should be, run this test with -update", file)
	}
}

// TestDeviceCredential lets a device have artifacts and trust metadata, and nothing else.
func TestDeviceCredential(t *testing.T) {
	f := newFixture(t)
	token := f.device("pump-7")
	m := f.model("flow", "bytes of a model")
	f.refused("GET", "/v1/artifacts/"+m.Digest, token, "", 403, "forbidden") // of another, as far as it knows
	if _, err := f.fleet.UpdateDesired(t.Context(), "pump-7", func(_ *meta.Queries, d *spec.Desired) error {
		d.Assignments["flow"] = spec.Assignment{Digest: m.Digest}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.api.Table() {
		path := strings.NewReplacer("{name}", "pump-7", "{task}", "flow", "{id}", "nothing", "{command}", "pause",
			"{digest}", m.Digest, "{file}", "1.root.json").Replace(r.Path)
		code, reply := f.do(r.Method, path, token, "")
		switch r.Role {
		case api.Device:
			if code != 200 {
				t.Errorf("%s %s as a device = %d %s, want 200", r.Method, path, code, reply)
			}
		case api.Anyone: // its own handler decides
		default:
			if code != 403 {
				t.Errorf("%s %s as a device = %d %s, want 403", r.Method, path, code, reply)
			}
		}
	}
	if err := f.fleet.Revoke(t.Context(), "test", "pump-7"); err != nil {
		t.Fatal(err)
	}
	f.refused("GET", "/v1/artifacts/"+m.Digest, token, "", 401, "unauthorized")
}

// TestLimits asks every listing for pages of sizes that it does not give.
func TestLimits(t *testing.T) {
	f := newFixture(t)
	operator, admin := f.login("operator"), f.login("admin")
	f.device("a")
	for _, tt := range []struct {
		path  string
		most  int
		token string
	}{
		{"/v1/audit?", 1000, admin},
		{"/v1/devices?", 1000, operator},
		{"/v1/events?", 1000, operator},
		{"/v1/gaps?", 1000, operator},
		{"/v1/conflicts?", 1000, operator},
		{"/v1/quarantine?", 1000, operator},
		{"/v1/models?", 1000, operator},
		{"/v1/rollouts?", 1000, operator},
		{"/v1/jobs?", 1000, operator},
		{"/v1/tasks/none/labels?", 10_000, operator},
		{"/v1/lake/readings?device=a&", 1_000_000, operator},
	} {
		for _, limit := range []string{"0", "-1", fmt.Sprint(tt.most + 1), "ten", "1e3", "9223372036854775808"} {
			f.refused("GET", tt.path+"limit="+limit, tt.token, "", 422, "invalid")
		}
		for _, limit := range []int{1, tt.most} {
			if code, reply := f.do("GET", fmt.Sprintf("%slimit=%d", tt.path, limit), tt.token, ""); code != 200 {
				t.Errorf("GET %slimit=%d = %d %s, want 200", tt.path, limit, code, reply)
			}
		}
		f.refused("GET", tt.path+"limits=1", tt.token, "", 422, "invalid") // a typing error is no default
	}
}

// TestPages reads listings in pages that begin after the last line of the one before.
func TestPages(t *testing.T) {
	f := newFixture(t)
	admin := f.login("admin")
	for i := range 7 {
		f.device(fmt.Sprintf("pump-%d", i))
	}
	var names []string
	for after, pages := "", 0; pages < 9; pages++ {
		var page struct{ Items []struct{ Name string } }
		f.get("/v1/devices?limit=3&after="+after, admin, &page)
		if len(page.Items) == 0 {
			break
		}
		for _, d := range page.Items {
			names = append(names, d.Name)
		}
		after = names[len(names)-1]
	}
	if want := "pump-0 pump-1 pump-2 pump-3 pump-4 pump-5 pump-6"; strings.Join(names, " ") != want {
		t.Errorf("the pages have %v, want %s", names, want)
	}

	var all, seen struct{ Items []struct{ Seq int64 } }
	f.get("/v1/audit?limit=1000", admin, &all)
	for after := int64(0); ; after = seen.Items[len(seen.Items)-1].Seq {
		n := len(seen.Items)
		var page struct{ Items []struct{ Seq int64 } }
		f.get(fmt.Sprintf("/v1/audit?limit=4&after=%d", after), admin, &page)
		if seen.Items = append(seen.Items, page.Items...); len(seen.Items) == n {
			break
		}
	}
	if !slices.Equal(all.Items, seen.Items) || len(all.Items) < 10 {
		t.Errorf("the audit in pages has %v, at once %v", seen.Items, all.Items)
	}
}
