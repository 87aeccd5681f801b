package server_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
	"skerry.dev/sync/dirlock"
)

// TestPasswordOfAStartThatFails holds that the first user is made by the first start that succeeds:
// nobody sees the password of one that fails.
func TestPasswordOfAStartThatFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := server.Options{Config: configs.HubConfig{DataDir: t.TempDir(), Listen: taken.Addr().String(), NATSListen: "127.0.0.1:-1"}}
	if h, err := server.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Fatalf("Open on a taken address = %v, %v, want an error that names the flag", h, err)
	}
	o.Config.Listen, o.Config.NATSListen = "127.0.0.1:0", taken.Addr().String()
	if h, err := server.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--nats-listen") {
		t.Fatalf("Open with a taken address for devices = %v, %v, want an error that names the flag", h, err)
	}
	o.Config.NATSListen = "127.0.0.1:-1"
	for _, tt := range []struct{ reset, want bool }{{false, true}, {false, false}, {true, true}} {
		o.ResetAdmin = tt.reset
		h, err := server.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if (h.NewAdminPassword != "") != tt.want {
			t.Errorf("Open with a reset: %v: new password %q, want one: %v", tt.reset, h.NewAdminPassword, tt.want)
		}
		if a, err := h.DB.Read().Account(t.Context(), "admin"); err != nil || a.Role != "admin" {
			t.Errorf("admin = %+v, %v", a, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

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
