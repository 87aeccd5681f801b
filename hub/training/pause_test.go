package training

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPause holds that failures are logged less and less often, and that the end is not waited for.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		trainer := &Trainer{log: slog.New(slog.NewTextHandler(&b, nil))}
		began := time.Now()
		for failed := 1; time.Since(began) < 10*time.Minute; failed++ {
			if !trainer.pause(t.Context(), failed, errors.New("disk full")) {
				t.Fatal("pause ends the loop")
			}
		}
		if n := strings.Count(b.String(), "not evaluated"); n > 30 {
			t.Errorf("ten minutes of failures are logged %d times", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if trainer.pause(ctx, 20, ctx.Err()) {
			t.Error("pause goes on after the end")
		}
	})
}
