package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"skerry.dev/configs"
	"skerry.dev/sync/wire"
)

// ErrRevoked is returned for a credential that is expired, revoked or not ours.
var ErrRevoked = errors.New("credential is not valid")

// DedupWindow is how long the streams drop a repeated Nats-Msg-Id. It saves traffic; the ledger
// is what makes repeats harmless.
const DedupWindow = 10 * time.Minute

// Options configure the server.
type Options struct {
	// Dir is the hub's data directory: keys/ and jetstream/ lie below it.
	Dir string
	// Listen is the address for devices; port -1 lets the system choose.
	Listen string
	// Advertise are the URLs that devices are told. Default: the address listened on.
	Advertise []string
	// TLSCert and TLSKey are PEM files; both empty: plain TCP.
	TLSCert, TLSKey string
	// Streams bounds the streams on disk.
	Streams configs.HubStreams
	// Log receives the server's messages. nil: none.
	Log *slog.Logger
}

func (o *Options) defaults() {
	configs.FillDefaults(&o.Streams)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// storeBytes bounds everything on disk: the streams, and 1 GiB for the buckets.
func (o *Options) storeBytes() int64 {
	return int64(o.Streams.Telemetry+o.Streams.Events+o.Streams.State) + 1<<30
}

// Bus is a running server with its streams and the hub's own connection. Safe for concurrent use.
type Bus struct {
	// Conn is the hub's in-process connection.
	Conn *nats.Conn
	// JS is JetStream over Conn.
	JS jetstream.JetStream
	// Desired is the bucket of desired state; every put is republished on desired.<device>.
	Desired jetstream.KeyValue

	opts Options
	srv  *server.Server
	sys  *nats.Conn
	keys *keyring
	res  *server.MemAccResolver

	mu sync.Mutex // guards keys.revoked and the account claims
}

// Open starts the server, creates the streams and connects. It refuses to run when JetStream does
// not sync every write.
func Open(ctx context.Context, opts Options) (_ *Bus, err error) {
	opts.defaults()
	b := &Bus{opts: opts}
	if b.keys, err = openKeyring(filepath.Join(opts.Dir, "keys")); err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("start NATS: listen address %q: %w", opts.Listen, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("start NATS: listen address %q: %w", opts.Listen, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	b.res = &server.MemAccResolver{}
	if err := errors.Join(b.res.Store(b.keys.accountPub, b.keys.accountJWT), b.res.Store(b.keys.systemPub, b.keys.systemJWT)); err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	so := &server.Options{
		ServerName:         "skerry-hub",
		Host:               host,
		Port:               port,
		NoSigs:             true,
		MaxPayload:         1 << 20,
		TrustedOperators:   []*jwt.OperatorClaims{b.keys.operatorClaims},
		SystemAccount:      b.keys.systemPub,
		AccountResolver:    b.res,
		JetStream:          true,
		StoreDir:           filepath.Join(opts.Dir, "jetstream"),
		SyncAlways:         true,
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  opts.storeBytes(),
	}
	if opts.TLSCert != "" {
		if so.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: opts.TLSCert,
			KeyFile:  opts.TLSKey,
		}); err != nil {
			return nil, fmt.Errorf("start NATS: %w", err)
		}
		so.TLS = true
	}
	if b.srv, err = server.NewServer(so); err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	b.srv.SetLoggerV2(logger{opts.Log}, false, false, false)
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	b.srv.Start()
	if !b.srv.ReadyForConnections(20 * time.Second) {
		return nil, fmt.Errorf("start NATS on %s: not ready after 20s, see the log above", opts.Listen)
	}
	if err := b.checkSync(); err != nil {
		return nil, err
	}
	if b.Conn, err = b.connect(RoleHub, "hub"); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if b.sys, err = b.connectSystem(); err != nil {
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

// checkSync reads the effective setting back: a PubAck must mean that the message is on disk.
func (b *Bus) checkSync() error {
	cfg := b.srv.JetStreamConfig()
	if cfg == nil || !cfg.SyncAlways {
		return errors.New("start NATS: JetStream does not sync every write (sync_interval: always); refusing to run, acknowledged data could be lost")
	}
	return nil
}

// Err reports what is wrong with the server, nil when JetStream takes messages.
func (b *Bus) Err() error {
	switch {
	case !b.srv.Running():
		return errors.New("the NATS server is stopped")
	case !b.srv.JetStreamEnabled():
		return errors.New("JetStream is stopped")
	case !b.Conn.IsConnected():
		return errors.New("the hub's NATS connection is down")
	}
	return b.checkSync()
}

// Reopen starts JetStream again after it shut itself down on a full disk. It does nothing when
// JetStream runs.
func (b *Bus) Reopen() error {
	if b.srv.JetStreamEnabled() {
		return nil
	}
	return b.srv.EnableJetStream(&server.JetStreamConfig{
		StoreDir: filepath.Join(b.opts.Dir, "jetstream"), SyncAlways: true, MaxMemory: 64 << 20,
		MaxStore: b.opts.storeBytes(),
	})
}

func (b *Bus) streams(ctx context.Context) error {
	base := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		Duplicates: DedupWindow, AllowDirect: true, Compression: jetstream.NoCompression,
	}
	tel, evt, state := base, base, base
	tel.Name, tel.Subjects, tel.MaxBytes = wire.StreamTelemetry, []string{"edge.*.*.tel.>"}, int64(b.opts.Streams.Telemetry)
	evt.Name, evt.Subjects, evt.MaxBytes = wire.StreamEvents, []string{"edge.*.*.evt"}, int64(b.opts.Streams.Events)
	state.Name, state.Subjects, state.MaxBytes = wire.StreamState, []string{"edge.*.*.state"}, int64(b.opts.Streams.State)
	state.MaxMsgsPerSubject = 1
	state.Discard = jetstream.DiscardOld // the newest state replaces the one before it
	for _, c := range []jetstream.StreamConfig{tel, evt, state} {
		if _, err := b.JS.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("stream %s: %w", c.Name, err)
		}
	}
	var err error
	b.Desired, err = b.JS.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: wire.BucketDesired, History: 5, Storage: jetstream.FileStorage, MaxBytes: 256 << 20,
		RePublish: &jetstream.RePublish{
			Source:      "$KV." + wire.BucketDesired + ".*",
			Destination: "desired.{{wildcard(1)}}",
		},
	})
	return err
}

func (b *Bus) connect(r Role, name string) (*nats.Conn, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return nil, err
	}
	token, err := b.keys.user(r, pub, name, "", 0)
	if err != nil {
		return nil, err
	}
	return b.dial(name, token, kp)
}

func (b *Bus) connectSystem() (*nats.Conn, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return nil, err
	}
	c := jwt.NewUserClaims(pub)
	c.Name = "hub-system"
	token, err := c.Encode(b.keys.system)
	if err != nil {
		return nil, err
	}
	return b.dial("hub-system", token, kp)
}

func (b *Bus) dial(name, token string, kp nkeys.KeyPair) (*nats.Conn, error) {
	return nats.Connect("nats://in-process", nats.Name(name), nats.InProcessServer(b.srv), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return kp.Sign(nonce) }))
}

// URLs returns the addresses devices connect to.
func (b *Bus) URLs() []string {
	if len(b.opts.Advertise) > 0 {
		return b.opts.Advertise
	}
	scheme := "nats"
	if b.opts.TLSCert != "" {
		scheme = "tls"
	}
	return []string{(&url.URL{Scheme: scheme, Host: b.srv.Addr().String()}).String()}
}

// SignDevice makes the credential of a device: a user JWT for its public key that expires after
// ttl.
func (b *Bus) SignDevice(publicKey, device, site string, ttl time.Duration) (string, error) {
	return b.keys.user(RoleDevice, publicKey, device, site, ttl)
}

// SignWorker makes the credential of a training worker.
func (b *Bus) SignWorker(publicKey, name string, ttl time.Duration) (string, error) {
	return b.keys.user(RoleWorker, publicKey, name, "", ttl)
}

// CheckDevice reads a device's credential and returns the device's name and public key, or
// ErrRevoked. It proves who issued the credential, not who presents it.
func (b *Bus) CheckDevice(token string) (device, publicKey string, err error) {
	c, err := jwt.DecodeUserClaims(token) // verifies the issuer's signature
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrRevoked, err)
	}
	signer, err := b.keys.signers[RoleDevice].PublicKey()
	if err != nil {
		return "", "", err
	}
	b.mu.Lock()
	revoked := b.keys.accountClaims.IsClaimRevoked(c)
	b.mu.Unlock()
	switch {
	case c.Issuer != signer || c.IssuerAccount != b.keys.accountPub:
		return "", "", fmt.Errorf("%w: issued by somebody else", ErrRevoked)
	case c.Expires != 0 && c.Expires <= time.Now().Unix():
		return "", "", fmt.Errorf("%w: expired", ErrRevoked)
	case revoked:
		return "", "", fmt.Errorf("%w: revoked", ErrRevoked)
	}
	return c.Name, c.Subject, nil
}

// Revoke voids every credential issued to a public key up to now and closes its connections.
func (b *Bus) Revoke(publicKey string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys.revoked[publicKey] = time.Now().Unix() + 1 // issued-at has a resolution of one second
	if err := errors.Join(b.keys.saveRevoked(), b.keys.encode()); err != nil {
		return fmt.Errorf("revoke %s: %w", publicKey, err)
	}
	if err := b.res.Store(b.keys.accountPub, b.keys.accountJWT); err != nil {
		return fmt.Errorf("revoke %s: %w", publicKey, err)
	}
	acc, err := b.srv.LookupAccount(b.keys.accountPub)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", publicKey, err)
	}
	b.srv.UpdateAccountClaims(acc, b.keys.accountClaims) // closes connections of revoked users
	return nil
}

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
	signer, err := b.keys.signers[RoleDevice].PublicKey()
	if err != nil {
		return err
	}
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
	if _, err = b.sys.Subscribe("$SYS.ACCOUNT."+b.keys.accountPub+".*", func(m *nats.Msg) {
		if strings.HasSuffix(m.Subject, "CONNECT") {
			handle(m)
		}
	}); err != nil {
		return err
	}
	return b.sys.Flush()
}

// Close stops the connections and the server and waits for its files. It is idempotent.
func (b *Bus) Close() error {
	for _, c := range []*nats.Conn{b.Conn, b.sys} {
		if c != nil {
			c.Close()
		}
	}
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
	return nil
}

// logger passes the server's messages on. Connection noise stays at debug level.
type logger struct{ *slog.Logger }

func (l logger) Noticef(format string, v ...any) {
	l.Logger.Debug("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Warnf(format string, v ...any) {
	l.Logger.Warn("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Fatalf(format string, v ...any) {
	l.Logger.Error("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Errorf(format string, v ...any) {
	l.Logger.Error("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Debugf(format string, v ...any) {}
func (l logger) Tracef(format string, v ...any) {}
