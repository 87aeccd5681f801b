package configs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// TLS returns the TLS settings of the broker connection, nil when the system's roots do and no
// certificate is shown.
func (m AgentMQTT) TLS() (*tls.Config, error) {
	return clientTLS("mqtt", m.CAFile, m.CertFile, m.KeyFile)
}

// TLS returns the TLS settings of connections to the hub, nil when the system's roots do.
func (h AgentHub) TLS() (*tls.Config, error) { return clientTLS("hub", h.CAFile, "", "") }

// Client returns an HTTP client for the hub. A timeout of 0 leaves requests unbounded, for
// downloads.
func (h AgentHub) Client(timeout time.Duration) (*http.Client, error) {
	conf, err := h.TLS()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       conf,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			ForceAttemptHTTP2:     true,
		},
	}, nil
}

func clientTLS(section, ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%s.ca_file: %w", section, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca_file: %s holds no certificate in PEM form", section, ca)
		}
	}
	if cert != "" {
		p, err := openPair(cert, key, nil)
		if err != nil {
			return nil, fmt.Errorf("%s.cert_file: %w", section, err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.current(), nil }
	}
	return c, nil
}

// ServerTLS returns TLS settings of a server that shows the certificate in two PEM files. They are
// looked at again at every handshake, so that a renewed certificate is shown without a restart; while
// they cannot be read, or do not fit each other, the one before is shown, and log says so. log may be
// nil.
func ServerTLS(cert, key string, log *slog.Logger) (*tls.Config, error) {
	p, err := openPair(cert, key, log)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil },
	}, nil
}

// pair is a certificate and its key in two PEM files, which are renewed while the program runs. Safe
// for concurrent use.
type pair struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	of     stamp // the files that pair is from
	failed stamp // the files of the newest complaint
}

// stamp tells versions of a pair of files apart.
type stamp struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

func openPair(cert, key string, log *slog.Logger) (*pair, error) {
	p := &pair{cert: cert, key: key, log: log}
	p.of = p.stamp()
	loaded, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	p.pair = &loaded
	return p, nil
}

// stamp looks at the files, through links. A file that cannot be looked at has none.
func (p *pair) stamp() (s stamp) {
	if info, err := os.Stat(p.cert); err == nil {
		s.certTime, s.certSize = info.ModTime(), info.Size()
	}
	if info, err := os.Stat(p.key); err == nil {
		s.keyTime, s.keySize = info.ModTime(), info.Size()
	}
	return s
}

// current returns the certificate, read again when a file has changed. Of two files that are
// replaced one after the other the first does not fit yet: until both do, the pair before is in use.
func (p *pair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.stamp()
	if now == p.of {
		return p.pair
	}
	loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.pair, p.of = &loaded, now
		if p.log != nil {
			p.log.Info("the renewed certificate is in use", "file", p.cert, "until", loaded.Leaf.NotAfter)
		}
	case now != p.failed:
		p.failed = now
		if p.log != nil {
			p.log.Error("the renewed certificate cannot be used: the one before stays in use", "file", p.cert, "err", err)
		}
	}
	return p.pair
}
