package device

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReported asks a device what it reports before it runs and while its broker is away.
func TestReported(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks", "level.yaml"), []byte(taskFile), 0o644); err != nil {
		t.Fatal(err)
	}
	url := "tcp://" + freeAddr(t) // nobody listens
	d, err := Open(Options{Config: config(t, dir, url, freeAddr(t)), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if ok, why := d.Ready(); ok || why != "starting" {
		t.Errorf("Ready before Run = %v, %q", ok, why)
	}
	if ok, why := d.Alive(); !ok {
		t.Errorf("Alive before Run = %v, %q: the loop has not begun", ok, why)
	}
	if links := d.Links(); len(links) != 1 || links["mqtt"] {
		t.Errorf("Links = %v, want the broker's alone, down", links)
	}
	if tasks := d.Tasks(); len(tasks) != 1 || tasks[0].Name != "level" {
		t.Errorf("Tasks = %v", tasks)
	}

	r := d.Reported()
	if r.Version != "1.2.3" || r.Run == "" || r.Cohort != "" || r.Generation != 0 || r.Outbox.PendingRecords != 0 {
		t.Errorf("Reported = %+v", r)
	}
	if s, ok := r.Tasks["level"]; !ok || s.Spec != taskFile || s.Rows != 0 || s.Champion != "" || s.Assignment != nil {
		t.Errorf("the task is reported as %+v", s)
	}
	if r.Health != "degraded" || len(r.Reasons) == 0 || !strings.Contains(r.Reasons[0], "no connection to the MQTT broker "+url) {
		t.Errorf("health %q because of %q, want it degraded by the broker", r.Health, r.Reasons)
	}
	why := "level.yaml: horizon"
	d.badFile.Store(&why)
	if r = d.Reported(); !strings.Contains(strings.Join(r.Reasons, "; "), "task files not in force: "+why) {
		t.Errorf("reasons %q, want the task file", r.Reasons)
	}

	for age, alive := range map[time.Duration]bool{14 * time.Second: true, 16 * time.Second: false} {
		d.beat.Store(time.Now().Add(-age).UnixNano())
		if ok, why := d.Alive(); ok != alive || ok != (why == "") {
			t.Errorf("Alive %v after the last prediction loop = %v, %q", age, ok, why)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
