package natslanes_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/ingest/ingesttest"
	"skerry.dev/hub/ingest/natslanes"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// open starts a bus and lanes to an ingester, and connects the devices of the suite with the
// credentials that devices get.
func open(t *testing.T, in *ingest.Ingester, log *slog.Logger) (bustest.Bus, map[string]*nats.Conn) {
	t.Helper()
	b := bustest.Open(t, t.TempDir())
	lanes := natslanes.New(b.Bus, in, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lanes.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	conns := map[string]*nats.Conn{}
	for _, name := range ingesttest.Devices {
		kp, pub := bustest.Key(t)
		token, err := b.Ring.SignDevice(pub, name, ingesttest.Site, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		conns[name], err = nats.Connect(b.URLs()[0], nats.CustomInboxPrefix(wire.InboxPrefix(name)),
			nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[name].Close)
	}
	return b, conns
}

// request asks again while the lanes are not subscribed yet.
func request(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	for {
		m, err := nc.RequestMsgWithContext(ctx, msg)
		if err != nats.ErrNoResponders {
			return m, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func subject(device string, lane ingest.Lane) string {
	switch lane {
	case ingest.Events:
		return wire.SubjectEvents(ingesttest.Site, device)
	case ingest.Live:
		return wire.SubjectLive(ingesttest.Site, device)
	default:
		return wire.SubjectBack(ingesttest.Site, device)
	}
}

func TestSource(t *testing.T) {
	ingesttest.Run(t, func(t *testing.T, _ *meta.Store, in *ingest.Ingester) ingesttest.Source {
		_, conns := open(t, in, nil)
		return func(ctx context.Context, device string, lane ingest.Lane, message []byte) (wire.Receipt, error) {
			var r wire.Receipt
			m, err := request(ctx, conns[device], &nats.Msg{Subject: subject(device, lane), Data: message})
			if err == nil {
				err = json.Unmarshal(m.Data, &r)
			}
			return r, err
		}
	})
}
