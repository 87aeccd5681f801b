// Package bustest opens a message bus of its own for a test: a key ring, an embedded server and
// the hub's client, as the hub wires them.
package bustest

import (
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"skerry.dev/hub/bus"
	"skerry.dev/hub/bus/embedded"
	"skerry.dev/hub/keys"
)

// Bus is an open bus and what it stands on.
type Bus struct {
	*bus.Bus
	Ring   *keys.Ring
	Server *embedded.Server
}

// Open starts a bus with its files below dir on a free port; the test's end closes it.
func Open(t testing.TB, dir string) Bus {
	t.Helper()
	ring, err := keys.Open(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := embedded.Open(embedded.Options{Dir: dir, Listen: "127.0.0.1:-1"}, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	b, err := bus.Open(t.Context(), bus.Options{
		Connect:   []nats.Option{srv.InProcess()},
		Advertise: []string{srv.URL()},
	}, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return Bus{Bus: b, Ring: ring, Server: srv}
}

// Close ends the bus before the test does, as a stop of the hub would.
func (b Bus) Close() {
	b.Bus.Close()
	b.Server.Close()
}
