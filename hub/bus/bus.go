package bus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"skerry.dev/hub/keys"
	"skerry.dev/sync/wire"
)

// Options configure the client.
type Options struct {
	// Connect are the options of every connection: where the server is. Required.
	Connect []nats.Option
	// Advertise are the URLs that devices receive. Required.
	Advertise []string
	// StateBytes bounds the stream of reported state on disk. Default 256 MiB.
	StateBytes int64
	// Log receives what is worth knowing. nil: none.
	Log *slog.Logger
}

// desiredBytes bounds the bucket of desired state on disk.
const desiredBytes = 256 << 20

// Bus is a connected client. Safe for concurrent use.
type Bus struct {
	// Conn is the hub's connection.
	Conn *nats.Conn
	// JS is JetStream over Conn.
	JS jetstream.JetStream
	// Desired is the bucket of desired state; every put is republished on desired.<device>.
	Desired jetstream.KeyValue

	opts Options
	ring *keys.Ring
	sys  *nats.Conn
}

// Open connects and creates the streams.
func Open(ctx context.Context, opts Options, ring *keys.Ring) (_ *Bus, err error) {
	if opts.StateBytes == 0 {
		opts.StateBytes = 256 << 20
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bus{opts: opts, ring: ring}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.Conn, err = b.connect("hub", ring.HubUser); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if b.sys, err = b.connect("hub-system", ring.SystemUser); err != nil {
		return nil, fmt.Errorf("connect to the NATS system account: %w", err)
	}
	if b.JS, err = jetstream.New(b.Conn); err != nil {
		return nil, err
	}
	if err := b.streams(ctx); err != nil {
		return nil, fmt.Errorf("create streams: %w", err)
	}
	return b, nil
}

func (b *Bus) connect(name string, user func(string) (string, nkeys.KeyPair, error)) (*nats.Conn, error) {
	token, kp, err := user(name)
	if err != nil {
		return nil, err
	}
	opts := append([]nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign),
	}, b.opts.Connect...)
	return nats.Connect("nats://in-process", opts...)
}

// Err reports what is wrong with the connection, nil when it is up.
func (b *Bus) Err() error {
	if !b.Conn.IsConnected() {
		return errors.New("the hub's NATS connection is down")
	}
	return nil
}

// probe is the name under which the bus is tried out. No device can have it.
const probe = "_probe"

// Probe stores a desired state and a reported state and reads both back.
func (b *Bus) Probe(ctx context.Context) error {
	want := []byte(time.Now().Format(time.RFC3339Nano))
	if _, err := b.Desired.Put(ctx, probe, want); err != nil {
		return fmt.Errorf("store a desired state: %w", err)
	}
	if e, err := b.Desired.Get(ctx, probe); err != nil || !bytes.Equal(e.Value(), want) {
		return fmt.Errorf("read a desired state back: %w", cmp.Or(err, errors.New("not what was written")))
	}
	s, err := b.JS.Stream(ctx, wire.StreamState)
	if err != nil {
		return fmt.Errorf("stream of reported states: %w", err)
	}
	subject := wire.SubjectState(probe, probe)
	if err := b.Conn.Publish(subject, want); err != nil {
		return fmt.Errorf("publish a reported state: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for { // the stream acknowledges nothing: see streams
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if err == nil && bytes.Equal(m.Data, want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("read a reported state back: %w", cmp.Or(err, errors.New("it was not stored")))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// retired are the streams of a time when telemetry went through JetStream. Whatever they still
// hold the devices hold as well, and send again: they release what is in the ledger, nothing else.
// While they stood they would answer devices that a chunk is taken.
var retired = []string{"TEL", "EVT"}

func (b *Bus) streams(ctx context.Context) error {
	for _, name := range retired {
		s, err := b.JS.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		n := s.CachedInfo().State.Msgs
		if err := b.JS.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("remove stream %s: %w", name, err)
		}
		b.opts.Log.Info("telemetry no longer waits in a stream, the devices send again what is not in the ledger", "stream", name, "messages", n)
	}
	if _, err := b.JS.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              wire.StreamState,
		Subjects:          []string{"edge.*.*.state"},
		MaxBytes:          b.opts.StateBytes,
		MaxMsgsPerSubject: 1,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld, // the newest state replaces the one before it
		Storage:           jetstream.FileStorage,
		Compression:       jetstream.NoCompression,
		// The server answers a stream's publisher wherever the message says, with the server's own
		// authority: a device could have it write to any subject.
		NoAck: true,
	}); err != nil {
		return fmt.Errorf("stream %s: %w", wire.StreamState, err)
	}
	var err error
	b.Desired, err = b.JS.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:   wire.BucketDesired,
		History:  5,
		Storage:  jetstream.FileStorage,
		MaxBytes: desiredBytes,
		RePublish: &jetstream.RePublish{
			Source:      "$KV." + wire.BucketDesired + ".*",
			Destination: "desired.{{wildcard(1)}}",
		},
	})
	return err
}

// URLs returns the addresses devices connect to.
func (b *Bus) URLs() []string { return b.opts.Advertise }

// OnLink calls fn whenever a device's connection opens or closes, in order, from one goroutine
// per Bus. It must be called once.
func (b *Bus) OnLink(fn func(device string, connected bool)) error {
	type message struct {
		Client struct {
			ID     uint64 `json:"id"`
			Issuer string `json:"issuer_key"`
			JWT    string `json:"jwt"`
		} `json:"client"`
	}
	signer, err := b.ring.Signer(keys.RoleDevice)
	if err != nil {
		return err
	}
	account, _ := b.ring.Account()
	open := map[string]map[uint64]bool{}
	handle := func(m *nats.Msg) {
		var msg message
		if json.Unmarshal(m.Data, &msg) != nil || msg.Client.Issuer != signer {
			return
		}
		claims, err := jwt.DecodeUserClaims(msg.Client.JWT)
		if err != nil {
			return
		}
		dev := claims.Name // the event's name tag is the account's
		if strings.HasSuffix(m.Subject, ".CONNECT") {
			if open[dev] == nil {
				open[dev] = map[uint64]bool{}
			}
			open[dev][msg.Client.ID] = true
			fn(dev, true)
			return
		}
		delete(open[dev], msg.Client.ID)
		if len(open[dev]) == 0 {
			delete(open, dev)
			fn(dev, false)
		}
	}
	// one subscription keeps the order
	if _, err = b.sys.Subscribe("$SYS.ACCOUNT."+account+".*", func(m *nats.Msg) {
		if strings.HasSuffix(m.Subject, "CONNECT") {
			handle(m)
		}
	}); err != nil {
		return err
	}
	return b.sys.Flush()
}

// Close ends the connections. It is idempotent.
func (b *Bus) Close() error {
	for _, c := range []*nats.Conn{b.Conn, b.sys} {
		if c != nil {
			c.Close()
		}
	}
	return nil
}
