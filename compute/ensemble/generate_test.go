package ensemble

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestGenerated holds that kernels_amd64.s and kernels_amd64.go are what asmgen writes. It needs asmgen's dependency in the module cache or a network, and is skipped without.
func TestGenerated(t *testing.T) {
	if testing.Short() || runtime.GOARCH != "amd64" {
		t.Skip("compiles the generator")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", ".", "-out", filepath.Join(dir, "kernels_amd64.s"), "-stubs", filepath.Join(dir, "kernels_amd64.go"), "-pkg", "ensemble")
	cmd.Dir = "asmgen"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("asmgen does not run here: %v\n%s", err, out)
	}
	for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// The first line repeats the command, which names the folder.
		if _, want, _ = bytes.Cut(want, []byte("\n")); !bytes.HasSuffix(got, want) {
			t.Errorf("%s is not what asmgen writes: run go generate ./compute/ensemble", name)
		}
	}
}
