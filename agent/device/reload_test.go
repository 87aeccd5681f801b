package device

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/sync/spec"
	"skerry.dev/test/wait"
)

// TestReloadBesideFaults: while the agent runs, what is wrong with one file keeps no other from
// being taken over; the task of a faulty file goes on as it was, and that of one that is gone ends.
func TestReloadBesideFaults(t *testing.T) {
	dir := t.TempDir()
	tasks := filepath.Join(dir, "tasks")
	if err := os.MkdirAll(tasks, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(tasks, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return strings.Replace(taskFile, "task: level", "task: "+name, 1) }
	write("b.yaml", file("level"))
	write("c.yaml", file("third"))
	d, stop := begin(t, config(t, dir, "", freeAddr(t)))
	defer func() { stop() }()
	runs := func(what string, names ...string) {
		t.Helper()
		wait.For(t, what, func() bool {
			var have []string
			for _, one := range d.Tasks() {
				have = append(have, one.Name)
			}
			slices.Sort(have)
			return slices.Equal(have, names)
		})
	}
	faulty := func(what string, parts ...string) {
		t.Helper()
		wait.For(t, what, func() bool {
			p := d.badFile.Load()
			return len(parts) == 0 && p == nil || len(parts) > 0 && p != nil && !slices.ContainsFunc(parts, func(s string) bool { return !strings.Contains(*p, s) })
		})
	}
	runs("both at the start", "level", "third")
	write("b.yaml", "task: level\nkind: guess\n")
	write("a.yaml", file("first"))
	write("z.yaml", "no: [task")
	runs("the good one is taken over, the faulty one goes on", "first", "level", "third")
	faulty("both are named", "b.yaml", "must be forecast", "z.yaml")
	if i := slices.IndexFunc(d.Tasks(), func(one *spec.Task) bool { return one.Name == "level" }); d.Tasks()[i].Source != file("level") {
		t.Errorf("the faulty file's task is %s", d.Tasks()[i].Source)
	}
	if err := os.Remove(filepath.Join(tasks, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	runs("one whose file is gone ends", "first", "level")
	write("a.yaml", strings.Replace(file("level"), "horizon: 1h", "horizon: 2h", 1)) // the task is b.yaml's
	write("n.yaml", file("new"))
	faulty("the one name for two is reported", "a.yaml", `task "level" is that of`, "b.yaml")
	runs("the others are taken over", "first", "level", "new")
	write("b.yaml", file("level"))
	stop()
	d, stop = begin(t, config(t, dir, "", freeAddr(t)))
	runs("the copy takes nothing at a start, however early its name, and what its file was goes on", "first", "level", "new")
	if i := slices.IndexFunc(d.Tasks(), func(one *spec.Task) bool { return one.Name == "level" }); !strings.HasSuffix(d.Tasks()[i].Path, "b.yaml") || d.Tasks()[i].Source == "" {
		t.Errorf("the task is that of %s", d.Tasks()[i].Path)
	}
	if err := os.Rename(filepath.Join(tasks, "b.yaml"), filepath.Join(tasks, "m.yaml")); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "a file that is alone with its task takes it", func() bool {
		i := slices.IndexFunc(d.Tasks(), func(one *spec.Task) bool { return one.Name == "level" })
		return i >= 0 && !strings.HasSuffix(d.Tasks()[i].Path, "b.yaml")
	})
	if err := os.Rename(filepath.Join(tasks, "m.yaml"), filepath.Join(tasks, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	write("a.yaml", file("first"))
	if err := os.Remove(filepath.Join(tasks, "n.yaml")); err != nil {
		t.Fatal(err)
	}
	write("b.yaml", file("level"))
	if err := os.Remove(filepath.Join(tasks, "z.yaml")); err != nil {
		t.Fatal(err)
	}
	faulty("all is well")
	runs("all run", "first", "level")
}
