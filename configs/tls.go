package configs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
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
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s.cert_file: %w", section, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
