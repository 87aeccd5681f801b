package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
)

// TestTLS serves the API with a certificate, refuses plain HTTP and limits a caller that asks too
// often.
func TestTLSAndRateLimit(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, b := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
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
}
