package device

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/trust/signing"
)

// TestDamagedIdentity: whatever becomes of the files that the link to the hub needs, the agent
// predicts under the name that it had, health names the file and what to do, and no file is
// touched.
func TestDamagedIdentity(t *testing.T) {
	write := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	damages := map[string]func(*testing.T, string){
		"empty":  write(""),
		"cut":    write(`{"device":"pump-1","si`),
		"null":   write("null"),
		"object": write("{}"),
		"directory": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"readable": func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, file := range []string{"identity/enrolment.json", "identity/device.nk", "trust/root.json"} {
		for what, damage := range damages {
			switch {
			case what == "readable" && runtime.GOOS == "windows":
				continue
			case file == "trust/root.json" && (what == "readable" || what == "gone"): // no secret; in the enrolment, too
				continue
			}
			t.Run(file+" "+what, func(t *testing.T) {
				t.Parallel()
				dir, state := rooms(t)
				enrol(t, filepath.Join(state, "identity"))
				addr := freeAddr(t)
				cfg := config(t, dir, "", addr)
				d, err := Open(Options{Config: cfg, Version: "test"})
				if err != nil {
					t.Fatal(err)
				}
				if r := d.Reported(); len(r.Reasons) > 0 || r.Device != "pump-1" || r.Site != "north" || d.link == nil {
					t.Fatalf("%s at %s before: %q", r.Device, r.Site, r.Reasons)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}

				path := filepath.Join(state, file)
				damage(t, path)
				before := look(path)
				d, stop := begin(t, cfg)
				ingest(t, addr, "zz/a", 40)
				r := d.Reported()
				if r.Device != "pump-1" || r.Site != "north" || d.store.Outbox().Device() != "pump-1" || r.Tasks["room-a"].Kind == "" {
					t.Errorf("it runs as %s at %s with tasks %v", r.Device, r.Site, r.Tasks)
				}
				text := strings.Join(r.Reasons, "\n")
				want := "from a backup"
				switch {
				case what == "readable":
					want = "chmod 600"
				case what == "gone" && file == "identity/enrolment.json":
					path, want = "", "skerry-agent enroll"
				}
				if r.Health != "degraded" || !strings.Contains(text, path) || !strings.Contains(text, want) || strings.Contains(text, "\n") {
					t.Errorf("health %s: %q, want the file and what to do", r.Health, text)
				}
				if link := d.link != nil; link != (file == "trust/root.json") {
					t.Errorf("there is a link to the hub: %v", link)
				}
				stop()
				if after := look(filepath.Join(state, file)); after != before {
					t.Errorf("the file was %s and is %s", before, after)
				}
			})
		}
	}
}

// TestNameFromRecords: where nothing else tells the name of a device whose enrolment is damaged,
// the records that wait for the hub do.
func TestNameFromRecords(t *testing.T) {
	dir, state := rooms(t)
	enrol(t, filepath.Join(state, "identity"))
	addr := freeAddr(t)
	cfg := config(t, dir, "", addr)
	_, stop := begin(t, cfg)
	ingest(t, addr, "zz/a", 40)
	stop()
	if err := os.Remove(filepath.Join(state, "name.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "identity", "enrolment.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{Config: cfg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if r := d.Reported(); r.Device != "pump-1" || r.Health != "degraded" {
		t.Errorf("it runs as %s, %s", r.Device, r.Health)
	}
}

// enrol makes the identity of the device pump-1 of a hub that answers nothing but the enrolment.
func enrol(t *testing.T, dir string) {
	t.Helper()
	sign, err := signing.Open(signing.Options{Keys: t.TempDir(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.Root()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(identity.EnrollReply{
			Device:  "pump-1",
			Site:    "north",
			JWT:     "a.b.c",
			NATS:    []string{"nats://127.0.0.1:1"},
			TUFRoot: root,
		})
	}))
	defer srv.Close()
	if _, err := identity.Enroll(t.Context(), dir, srv.URL, "token", identity.Options{}); err != nil {
		t.Fatal(err)
	}
}

// look describes what is at a path.
func look(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "gone"
	}
	b, _ := os.ReadFile(path)
	return fmt.Sprint(info.Mode(), string(b))
}
