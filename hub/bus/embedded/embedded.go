package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"skerry.dev/configs"
	"skerry.dev/hub/health"
	"skerry.dev/hub/keys"
)

// Options configure the server.
type Options struct {
	// Dir is the hub's data directory: jetstream/ lies below it.
	Dir string
	// Listen is the address for devices. Default 127.0.0.1:4222; port -1 lets the system choose.
	Listen string
	// TLSCert and TLSKey are PEM files, read again when they have changed; both empty: plain TCP.
	TLSCert, TLSKey string
	// MaxStore bounds what the streams together may reserve on disk, in bytes. Each stream bounds
	// itself; this must have room for the streams of an older hub until they are removed. Default
	// 16 GiB.
	MaxStore int64
	// Violation is called by Run when a device did what its credential does not allow: a subject
	// that it may not use, a message that is too large, too many subscriptions. nil: it is only logged.
	Violation func(ctx context.Context, device, what string)
	// Log receives the server's messages. nil: none.
	Log *slog.Logger
}

const (
	defaultListen = "127.0.0.1:4222"
	maxMemory     = 64 << 20
	readyTimeout  = 20 * time.Second
)

// Server is a running NATS server. Safe for concurrent use.
type Server struct {
	opts       Options
	ring       *keys.Ring
	srv        *server.Server
	violations chan violation
	again      *health.Repeats
	reopening  sync.Mutex // one of revive and Reopen at a time
}

// violation is what a connection did that it may not.
type violation struct {
	connection uint64
	what       string
}

// Open starts the server. It refuses to run when JetStream does not sync every write.
func Open(opts Options, ring *keys.Ring) (*Server, error) {
	if opts.Listen == "" {
		opts.Listen = defaultListen
	}
	if opts.MaxStore == 0 {
		opts.MaxStore = 16 << 30
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, ring: ring, violations: make(chan violation, 64), again: health.NewRepeats(opts.Log)}
	if err := s.start(ring); err != nil {
		return nil, fmt.Errorf("start NATS on %s: %w", opts.Listen, errors.Join(err, s.Close()))
	}
	return s, nil
}

func (s *Server) start(ring *keys.Ring) error {
	host, portText, err := net.SplitHostPort(s.opts.Listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if port > 0 { // the server only logs this, and the wait for it would say nothing
		l, err := net.Listen("tcp", s.opts.Listen)
		if err != nil {
			return fmt.Errorf("%w: choose another address with --nats-listen", err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	accounts := &server.MemAccResolver{}
	for _, account := range []func() (string, string){ring.Account, ring.System} {
		if err := accounts.Store(account()); err != nil {
			return err
		}
	}
	system, _ := ring.System()
	js := s.jetStream()
	so := &server.Options{
		ServerName:         "skerry-hub",
		Host:               host,
		Port:               port,
		NoSigs:             true,
		MaxPayload:         1 << 20,
		TrustedOperators:   []*jwt.OperatorClaims{ring.Operator()},
		SystemAccount:      system,
		AccountResolver:    accounts,
		JetStream:          true,
		StoreDir:           js.StoreDir,
		SyncAlways:         js.SyncAlways,
		JetStreamMaxMemory: js.MaxMemory,
		JetStreamMaxStore:  js.MaxStore,
	}
	if s.opts.TLSCert != "" {
		if so.TLSConfig, err = configs.ServerTLS(s.opts.TLSCert, s.opts.TLSKey, s.opts.Log); err != nil {
			return err
		}
		so.TLS = true
	}
	if s.srv, err = server.NewServer(so); err != nil {
		return err
	}
	s.srv.SetLoggerV2(logger{s.opts.Log, s.again, s.violations}, false, false, false)
	s.srv.Start()
	if !s.srv.ReadyForConnections(readyTimeout) {
		return fmt.Errorf("not ready after %v, see the log above", readyTimeout)
	}
	ring.OnChange(func(claims *jwt.AccountClaims, token string) error {
		if err := accounts.Store(claims.Subject, token); err != nil {
			return err
		}
		acc, err := s.srv.LookupAccount(claims.Subject)
		if err != nil {
			return err
		}
		s.srv.UpdateAccountClaims(acc, claims) // closes connections of revoked users
		return nil
	})
	return s.checkSync()
}

func (s *Server) jetStream() *server.JetStreamConfig {
	return &server.JetStreamConfig{
		StoreDir:   filepath.Join(s.opts.Dir, "jetstream"),
		SyncAlways: true,
		MaxMemory:  maxMemory,
		MaxStore:   s.opts.MaxStore,
	}
}

// checkSync reads the effective setting back: an acknowledged message must be on disk.
func (s *Server) checkSync() error {
	cfg := s.srv.JetStreamConfig()
	if cfg == nil || !cfg.SyncAlways {
		return errors.New("JetStream does not sync every write (sync_interval: always); refusing to run, acknowledged state could be lost")
	}
	return nil
}

// Err reports what is wrong with the server, nil when JetStream takes messages.
func (s *Server) Err() error {
	switch {
	case !s.srv.Running():
		return errors.New("the NATS server is stopped")
	case !s.srv.JetStreamEnabled():
		return errors.New("JetStream is stopped")
	}
	return s.checkSync()
}

// Run reports violations, and starts JetStream again whenever it has stopped itself, until ctx
// ends.
func (s *Server) Run(ctx context.Context) error {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	down := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-s.violations:
			s.violated(ctx, v)
			continue
		case <-look.C:
			s.thin(ctx)
			continue
		case <-t.C:
		}
		s.again.Flush()
		err := s.Err()
		switch {
		case err == nil && down:
			s.opts.Log.Info("message bus recovered")
			down = false
		case err != nil:
			if !down {
				s.opts.Log.Error("message bus is down", "err", err)
			}
			down = true
			if err := s.revive(); err != nil {
				s.again.Log(slog.LevelWarn, "revive: "+err.Error(), "starting JetStream again failed", "err", err)
			}
		}
	}
}

// An agent has one connection, and for a moment the old one beside the new.
const (
	maxConnections = 8
	lookEvery      = 2 * time.Second
)

// thin ends the oldest connections of a device that has too many: each takes a descriptor and
// memory that others need.
func (s *Server) thin(ctx context.Context) {
	if s.srv.NumClients() <= maxConnections {
		return
	}
	list, err := s.srv.Connz(&server.ConnzOptions{Username: true, Limit: 1 << 20})
	if err != nil {
		return // there is no server any more
	}
	of := map[string][]*server.ConnInfo{} // by the key of the credential
	for _, c := range list.Conns {
		if c.JWT != "" {
			of[c.AuthorizedUser] = append(of[c.AuthorizedUser], c)
		}
	}
	for _, conns := range of {
		if len(conns) <= maxConnections {
			continue
		}
		device, _, err := s.ring.CheckDevice(conns[0].JWT)
		if err != nil {
			continue // not a device
		}
		slices.SortFunc(conns, func(a, b *server.ConnInfo) int { return cmp.Compare(a.Cid, b.Cid) })
		for _, c := range conns[:len(conns)-maxConnections] {
			_ = s.srv.DisconnectClientByID(c.Cid) // it has gone by itself
		}
		if s.opts.Violation != nil {
			s.opts.Violation(ctx, device, fmt.Sprintf("%d connections at once, a device has %d at most: the oldest were ended", len(conns), maxConnections))
		}
	}
}

// violated finds out whose connection it was.
func (s *Server) violated(ctx context.Context, v violation) {
	list, err := s.srv.Connz(&server.ConnzOptions{CID: v.connection, Username: true, State: server.ConnAll})
	if err != nil || len(list.Conns) == 0 || s.opts.Violation == nil {
		return // closed long ago
	}
	if device, _, err := s.ring.CheckDevice(list.Conns[0].JWT); err == nil {
		s.opts.Violation(ctx, device, v.what)
	}
}

// revive starts JetStream when it has stopped itself.
func (s *Server) revive() error {
	s.reopening.Lock()
	defer s.reopening.Unlock()
	if s.srv.JetStreamEnabled() {
		return nil
	}
	return s.srv.EnableJetStream(s.jetStream())
}

// Reopen stops JetStream and starts it again. A stream that once could not be written refuses
// everything from then on, although JetStream itself seems well; only this ends it.
func (s *Server) Reopen() error {
	s.reopening.Lock()
	defer s.reopening.Unlock()
	if s.srv.JetStreamEnabled() {
		if err := s.srv.DisableJetStream(); err != nil {
			return fmt.Errorf("stop JetStream: %w", err)
		}
	}
	if err := s.srv.EnableJetStream(s.jetStream()); err != nil {
		return fmt.Errorf("start JetStream: %w", err)
	}
	return s.checkSync()
}

// URL is the address listened on.
func (s *Server) URL() string {
	scheme := "nats"
	if s.opts.TLSCert != "" {
		scheme = "tls"
	}
	return (&url.URL{Scheme: scheme, Host: s.srv.Addr().String()}).String()
}

// InProcess is the option by which a client of this process connects without a socket.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s.srv) }

// Close stops the server and waits for its files. It is idempotent.
func (s *Server) Close() error {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
	return nil
}

// logger passes the server's messages on. Connection noise stays at debug level, and so does what
// a connection may not do: it may do it a thousand times a second, and is reported by Run. Of what
// the server says again and again, as it does each second while a disk is full, one line a minute
// goes on.
type logger struct {
	*slog.Logger
	again      *health.Repeats
	violations chan<- violation
}

var violationText = regexp.MustCompile(`cid:(\d+) .*?((?:Publish|Subscription) Violation.*|maximum payload.*|maximum subscriptions.*)`)

func (l logger) Noticef(format string, v ...any) {
	l.Logger.Debug("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Warnf(format string, v ...any) {
	l.repeated(slog.LevelWarn, fmt.Sprintf(format, v...))
}
func (l logger) Fatalf(format string, v ...any) {
	l.Logger.Error("nats server", "text", fmt.Sprintf(format, v...))
}
func (l logger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	m := violationText.FindStringSubmatch(text)
	if m == nil {
		l.repeated(slog.LevelError, text)
		return
	}
	l.Logger.Debug("nats server", "text", text)
	id, _ := strconv.ParseUint(m[1], 10, 64) // digits
	select {
	case l.violations <- violation{id, fmt.Sprintf("%.200s", m[2])}:
	default: // very many at once: it will do it again
	}
}
func (l logger) repeated(level slog.Level, text string) {
	l.again.Log(level, text, "nats server", "text", text)
}
func (l logger) Debugf(format string, v ...any) {}
func (l logger) Tracef(format string, v ...any) {}
