package configs

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRenewedCertificate holds that servers and clients show a certificate that was replaced while
// they run, and the one before as long as the new files do not fit each other.
func TestRenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(path, kind string, der []byte) {
		t.Helper()
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Now()
	renew := func(serial int64, both bool) {
		t.Helper()
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		write(cert, "CERTIFICATE", der)
		if both {
			write(key, "PRIVATE KEY", pkcs8)
		}
		at = at.Add(time.Second) // of file systems that keep coarse times
		for _, f := range []string{cert, key} {
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew(1, true)
	var log bytes.Buffer
	s, err := ServerTLS(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&AgentMQTT{CertFile: cert, KeyFile: key}).TLS()
	if err != nil {
		t.Fatal(err)
	}
	want := func(serial int64) {
		t.Helper()
		shown, err := s.GetCertificate(nil)
		if err != nil || shown.Leaf.SerialNumber.Int64() != serial {
			t.Errorf("the server shows certificate %v (%v), want %d", shown.Leaf.SerialNumber, err, serial)
		}
		shown, err = c.GetClientCertificate(nil)
		if err != nil || shown.Leaf.SerialNumber.Int64() != serial {
			t.Errorf("the client shows certificate %v (%v), want %d", shown.Leaf.SerialNumber, err, serial)
		}
	}
	want(1)
	renew(2, false) // the key still to come
	want(1)
	want(1)
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d complaints about one pair that does not fit, want 1: %s", n, log.String())
	}
	renew(3, true)
	want(3)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	want(3)
	if !strings.Contains(log.String(), "the renewed certificate is in use") {
		t.Errorf("the log says nothing of the renewal: %s", log.String())
	}
}
