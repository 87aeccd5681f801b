package embedded

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/hub/health"
)

// TestServerRepeatsItself holds that what the server says each second, as on a full disk, is one
// line a minute, and that what devices may not do is none.
func TestServerRepeatsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, nil))
		l := logger{log, health.NewRepeats(log), make(chan violation, 1)}
		for i := range 120 {
			l.Errorf("JetStream failed to store a msg on stream 'A > STATE': write %d.blk: no space left on device", i)
			l.Warnf("JetStream storage resource limits exceeded")
			l.Errorf("127.0.0.1:1 - cid:7 - \"v1\" - Publish Violation - Subject \"x\"")
			time.Sleep(time.Second)
		}
		errs, warns := strings.Count(b.String(), "level=ERROR"), strings.Count(b.String(), "level=WARN")
		if errs != 2 || warns != 2 || strings.Count(b.String(), "left_out=59") != 2 || strings.Contains(b.String(), "Violation") {
			t.Errorf("two minutes are logged as %d errors and %d warnings:\n%s", errs, warns, b.String())
		}
	})
}
