package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/compute/tabular"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(path, tabular.Options{}); err != nil || f.Rows != 1 {
		t.Errorf("Read = %+v, %v", f, err)
	}
	if _, err := Read(path+"x", tabular.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read of no file = %v", err)
	}
}
