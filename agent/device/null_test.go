package device

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNullFiles: null, in place of a file of the state directory or of anything in it, is damage:
// the file is set aside, what else it holds is known, and the agent starts and keeps its files.
func TestNullFiles(t *testing.T) {
	for _, tt := range []struct{ file, text, kept string }{
		{"series.json", `null`, ""},
		{"series.json", `{"room":null,"attic":["temp"]}`, "attic"},
		{"files.json", `null`, ""},
		{"files.json", `{"room":null}`, ""},
		{"devices.json", `null`, ""},
		{"devices.json", `{"room":null,"shed":[["a"]]}`, "shed"},
		{"devices.json", `{"room":[null,["b"]]}`, "room"},
		{"devices.json", `{"room":[[null],["b"]]}`, "room"},
	} {
		t.Run(tt.file+" "+tt.text, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tasks, state := filepath.Join(dir, "tasks"), filepath.Join(dir, "state")
			for _, d := range []string{tasks, state} {
				if err := os.MkdirAll(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for path, text := range map[string]string{filepath.Join(state, tt.file): tt.text, filepath.Join(tasks, "room.yaml"): roomFile} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			addr := freeAddr(t)
			d, stop := begin(t, config(t, dir, "", addr))
			ingest(t, addr, "zz/a", 40)
			if _, ok := d.Reported().Tasks["room-a"]; !ok {
				t.Errorf("there is no task for a device whose first message came: %v", d.Tasks())
			}
			stop()
			if b, err := os.ReadFile(filepath.Join(state, tt.file+".damaged")); err != nil || string(b) != tt.text {
				t.Errorf("the file is not set aside: %q, %v", b, err)
			}
			if b, err := os.ReadFile(filepath.Join(state, tt.file)); err != nil || strings.Contains(string(b), "null") || !strings.Contains(string(b), "room") || !strings.Contains(string(b), tt.kept) {
				t.Errorf("kept is %s, %v", b, err)
			}
		})
	}
}
