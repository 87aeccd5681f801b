package source

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestOutgoing: a connection that is away for a moment costs no message, however many come; of what
// comes while it is away for long the newest of each topic is sent, and never more than the bound
// waits.
func TestOutgoing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		away   time.Duration // between the messages
		topics int
		want   string
	}{
		{"for a moment", time.Second, 1, "0 1 2 3 4 5"},
		{"for long", 4 * time.Second, 1, "0 1 5"},
		{"with more than wait", 0, 3, "0 1 2 3 4 5 15 16 17"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const most = 9
				o := newOutgoing(most, newMetrics(prometheus.NewRegistry()))
				var sent []string
				done := make(chan struct{})
				go func() {
					defer close(done)
					o.run(func(_ string, payload []byte, _ bool) bool { sent = append(sent, string(payload)); return true })
				}()
				n := 6 * tt.topics
				for i := range n {
					o.add(fmt.Sprint("t/", i%tt.topics), []byte(fmt.Sprint(i)), false)
					time.Sleep(tt.away)
				}
				o.setOnline(true)
				synctest.Wait()
				if got := strings.Join(sent, " "); got != tt.want {
					t.Errorf("sent %q, want %q", got, tt.want)
				}
				o.close()
				<-done
			})
		})
	}
}
