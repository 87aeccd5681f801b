package device

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestHeldBack: that the hub takes a device for a copy is a matter of health, with what to do,
// until the hub says otherwise; an old document changes nothing.
func TestHeldBack(t *testing.T) {
	dir, _ := rooms(t)
	if err := os.WriteFile(filepath.Join(dir, "tasks", "level.yaml"), []byte(taskFile), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{Config: config(t, dir, "", freeAddr(t)), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, tt := range []struct {
		generation uint64
		suspect    bool
		want       string // a part of the reasons
	}{
		{1, false, ""},
		{3, true, "skerry-hub device clear-suspect " + d.name},
		{3, true, "skerry-hub device clear-suspect " + d.name},
		{2, false, "holds this device back"},
		{4, false, ""},
	} {
		d.desired(spec.Desired{Device: d.name, Generation: tt.generation, Suspect: tt.suspect})
		r := d.Reported()
		if text := strings.Join(r.Reasons, "\n"); (r.Health == "ok") != (tt.want == "") || !strings.Contains(text, tt.want) {
			t.Errorf("after document %d, suspect %v: %s, %q, want %q", tt.generation, tt.suspect, r.Health, text, tt.want)
		}
	}
}
