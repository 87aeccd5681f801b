package server_test

import (
	"errors"
	"os"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
	"skerry.dev/sync/dirlock"
)

// TestOneHubPerFolder opens a second hub on the data folder of another: an error that names the
// holder. After the first one's end it opens.
func TestOneHubPerFolder(t *testing.T) {
	o := server.Options{
		Config:        configs.HubConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"},
		AdminPassword: "correct horse battery",
	}
	first, err := server.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.Open(t.Context(), o)
	var held *dirlock.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("second Open = %v, %v, want an error with process %d", second, err, os.Getpid())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := server.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open after the first has ended: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}
