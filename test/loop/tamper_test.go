package loop

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

// TestTamperedArtifact stands between one device and the hub and changes one byte of every
// artifact. The device refuses it, says why to the hub, and its neighbour goes on.
func TestTamperedArtifact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", 2*time.Minute)
	var changed atomic.Int64
	hub := &url.URL{Scheme: "http", Host: w.web}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(hub) },
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasPrefix(r.Request.URL.Path, "/v1/artifacts/") || r.StatusCode != http.StatusOK {
				return nil
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			changed.Add(1)
			r.Body = io.NopCloser(bytes.NewReader(b))
			return nil
		}})
	t.Cleanup(proxy.Close)
	victim := w.newAgent("victim", "victim", nil)
	w.enrol(victim, proxy.URL)
	w.must(victim.Start())
	w.must(victim.WaitUp(w.ctx, true))
	neighbour := w.agent("neighbour", "neighbour", nil)
	p := &plant{world: w, sensors: []*sensor{w.sensor("victim", newSeries(31)), w.sensor("neighbour", newSeries(32))}}
	p.feed(60)
	digest := w.upload(goodModel(t))
	id := w.rollOut(rollout.Spec{Digest: digest, MinShadow: 20, Probation: 20, MaxLatencyUS: 20_000, MaxFailed: 0.9})
	got := w.phase(30*time.Second, victim, digest, spec.PhaseFailed)
	if !strings.Contains(got.Reason, "digest") || !strings.Contains(got.Reason, "signed") {
		t.Errorf("the device says %q, want it to name the digest that is not the signed one", got.Reason)
	}
	w.phase(30*time.Second, neighbour, digest, spec.PhaseShadow, spec.PhaseProbation, spec.PhaseActive)
	if files, _ := filepath.Glob(filepath.Join(victim.StateDir(), "slots", "*"+digest[:12]+"*")); len(files) > 0 {
		t.Errorf("the device kept %v", files)
	}
	w.until(10*time.Second, "the reason at the hub", func() (bool, string) {
		why := w.device("victim").Why[task]
		return strings.Contains(why.Reason, got.Reason) && why.Running == "", why.Reason
	})
	show := exec.CommandContext(w.ctx, filepath.Join(bin, "skerry-hub"), "device", "show", "victim", "--hub", "http://"+w.web)
	show.Env = append(os.Environ(), "SKERRY_TOKEN="+w.api.Token, "XDG_CONFIG_HOME="+w.dir)
	out, err := show.CombinedOutput()
	if err != nil || !strings.Contains(string(out), got.Reason) {
		t.Errorf("skerry-hub device show (%v) does not say %q:\n%s", err, got.Reason, out)
	}
	w.until(10*time.Second, "an alarm at the hub", func() (bool, string) {
		return len(w.events("device=victim&class=alarm&kind=assignment")) > 0, "none"
	})
	// the box that failed is tolerated and holds up nobody; it still predicts
	p.untilState(id, "completed")
	w.phase(time.Second, neighbour, digest, spec.PhaseActive)
	t.Logf("%d downloads were changed; the device says: %s", changed.Load(), got.Reason)
}
