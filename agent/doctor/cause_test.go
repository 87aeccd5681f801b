package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mosquitto starts one with a configuration that has %s for its port, and returns its address.
func mosquitto(t *testing.T, conf string) string {
	t.Helper()
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		if bin = "/usr/sbin/mosquitto"; !exists(bin) {
			t.Skip("mosquitto is not installed: apt-get install mosquitto")
		}
	}
	addr := unused(t)
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "m.conf")
	if err := os.WriteFile(file, []byte("user root\nlistener "+port+" 127.0.0.1\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for began := time.Now(); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("mosquitto does not listen")
		}
	}
}

// unused is an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	return l.Addr().String()
}

// TestBrokerCauses holds that each way a broker can fail has its own advice, and that no report
// shows a password.
func TestBrokerCauses(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	secure := strings.TrimPrefix(server.URL, "https://")
	_, port, _ := net.SplitHostPort(secure)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	knows := &tls.Config{RootCAs: roots, ServerName: ""}
	guarded := mosquitto(t, "allow_anonymous false\npassword_file "+passwords(t)+"\n")
	seen := map[string]string{}
	for name, tt := range map[string]struct {
		broker, want string
		tls          *tls.Config
	}{
		"nothing listens":   {"tcp://u:hunter2@" + unused(t), "nothing listens there", nil},
		"wrong password":    {"tcp://u:hunter2@" + guarded, "mqtt.username and mqtt.password", nil},
		"unknown host":      {"tcp://u:hunter2@no-such-broker.invalid:1883", "mqtt.broker", nil},
		"unknown authority": {"tls://u:hunter2@" + secure, "mqtt.ca_file", nil},
		"another name":      {"tls://u:hunter2@localhost:" + port, "another name", knows},
		"no TLS there":      {"tls://u:hunter2@" + guarded, "TLS", nil},
		"no answer":         {"tcp://u:hunter2@" + silent(t), "does not answer", nil},
	} {
		o := Options{Broker: tt.broker, TLS: tt.tls, Timeout: 10 * time.Second, CommitAcks: 16}
		if name == "no answer" {
			o.Timeout = time.Second
		}
		if name == "wrong password" {
			o.Username, o.Password = "u", "hunter2"
		}
		var r Result
		for _, check := range Run(t.Context(), o) {
			if check.Check == "broker" {
				r = check
			}
		}
		if r.Status != Fail || !strings.Contains(r.Action, tt.want) {
			t.Errorf("%s: %+v, want advice with %q", name, r, tt.want)
		}
		if other, ok := seen[r.Action]; ok {
			t.Errorf("%s has the advice of %s: %s", name, other, r.Action)
		}
		seen[r.Action] = name
		if strings.Contains(fmt.Sprint(r), "hunter2") {
			t.Errorf("%s: the report shows a password: %+v", name, r)
		}
	}
}

// passwords is a password file of mosquitto for the user u, whose password is another than hunter2.
func passwords(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("u:correct\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Skip("mosquitto_passwd is not installed: apt-get install mosquitto")
	}
	if out, err := exec.Command(tool, "-U", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// TestHubCauses holds the same for the hub, which is never more than a warning.
func TestHubCauses(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for want, url := range map[string]string{
		"nothing listens there": "http://u:hunter2@" + unused(t),
		"hub.ca_file":           strings.Replace(secure.URL, "https://", "https://u:hunter2@", 1),
		"no TLS at this port":   strings.Replace(plain.URL, "http://", "https://u:hunter2@", 1),
		"does not answer":       "http://u:hunter2@" + silent(t),
	} {
		r := hubHealth(t.Context(), Options{HTTP: &http.Client{Timeout: time.Second}}, url)
		if r.Status != Warn || !strings.Contains(r.Action, want) || strings.Contains(fmt.Sprint(r), "hunter2") {
			t.Errorf("%s: %+v, want %q and no password", url, r, want)
		}
	}
}
