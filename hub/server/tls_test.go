package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/server"
)

// TestTLSAndRateLimit serves the API with a certificate, also a renewed one, refuses plain HTTP and
// limits a caller that asks too often.
func TestTLSAndRateLimit(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := bustest.Certificate(t, dir)
	h, err := server.Open(t.Context(), server.Options{Config: configs.HubConfig{
		DataDir:    filepath.Join(dir, "hub"),
		Listen:     "127.0.0.1:0",
		NATSListen: "127.0.0.1:-1",
		TLSCert:    certFile,
		TLSKey:     keyFile,
		Auth:       configs.HubAuth{RateLimit: true, RequestsPerSecond: 5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		h.Close()
	}()
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 5 * time.Second}
	limited := 0
	for range 40 {
		resp, err := c.Get(h.URL() + "/v1/devices")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			limited++
		} else if resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d without a token", resp.StatusCode)
		}
	}
	if limited < 10 || limited > 20 {
		t.Errorf("%d of 40 requests were limited, want those beyond the burst of 20", limited)
	}
	if resp, err := http.Get("http" + h.URL()[len("https"):] + "/health"); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("plain HTTP is answered")
	}
	bustest.Certificate(t, dir) // renewed in place
	if certPEM, err = os.ReadFile(certFile); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	c = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 5 * time.Second}
	resp, err := c.Get(h.URL() + "/health")
	if err != nil {
		t.Fatalf("a client that trusts the renewed certificate: %v", err)
	}
	resp.Body.Close()
}
