// Package extreme measures in tests what one extreme value costs the program that is given it, and
// reads what the program's log says of it.
package extreme

import (
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

const (
	second = Slower * time.Second
	// garbage counts as well, of which the race detector's slow collector leaves more
	heap = min(Slower, 2) * (32 << 20)
)

// Within holds that do, which must work in this process, takes at most a second and 32 MiB in the
// best of five tries: the machine may be busy with others. Under the race detector and in the short
// run, which is beside other tests and counts what they cover, it may take longer.
func Within(t testing.TB, what string, do func()) {
	t.Helper()
	limit := time.Duration(second)
	if testing.Short() {
		limit *= 10
	}
	took, grown := time.Duration(math.MaxInt64), int64(math.MaxInt64)
	for try := 0; try < 5 && (took > limit || grown > heap); try++ {
		dt, dg := Cost(do)
		took, grown = min(took, dt), min(grown, dg)
	}
	if took > limit || grown > heap {
		t.Errorf("%s: took %v and %d MiB, at most %v and %d MiB are allowed", what, took.Round(time.Millisecond), grown>>20, limit, heap>>20)
	}
}

// Cost runs do, which must work in this process, and returns how long it took and by how many bytes
// the heap grew meanwhile at most. Others who use the machine or allocate meanwhile count as well:
// measure more than once and take the least.
func Cost(do func()) (took time.Duration, grown int64) {
	used := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	before, most := used(), int64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, used())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	began := time.Now()
	do()
	took = time.Since(began)
	close(stop)
	<-done
	return took, most - before
}
