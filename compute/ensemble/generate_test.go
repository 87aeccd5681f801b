package ensemble

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestGenerated holds that kernels_amd64.s and kernels_amd64.go are what asmgen writes, here and
// in gbdt. It needs asmgen's dependency in the module cache or a network, and is skipped without.
func TestGenerated(t *testing.T) {
	if testing.Short() || runtime.GOARCH != "amd64" {
		t.Skip("compiles the generators: run without -short on amd64")
	}
	for _, pkg := range []string{"ensemble", "gbdt"} {
		dir := t.TempDir()
		cmd := exec.Command("go", "run", ".", "-out", filepath.Join(dir, "kernels_amd64.s"), "-stubs", filepath.Join(dir, "kernels_amd64.go"), "-pkg", pkg)
		cmd.Dir = filepath.Join("..", pkg, "asmgen")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("asmgen does not run here (%v): run `go mod download` in compute/%s/asmgen with a network\n%s", err, pkg, out)
		}
		for _, name := range []string{"kernels_amd64.s", "kernels_amd64.go"} {
			want, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join("..", pkg, name))
			if err != nil {
				t.Fatal(err)
			}
			// The first line repeats the command, which names the folder.
			if _, want, _ = bytes.Cut(want, []byte("\n")); !bytes.HasSuffix(got, want) {
				t.Errorf("%s/%s is not what asmgen writes: run go generate ./compute/%s", pkg, name, pkg)
			}
		}
	}
}
