package rig

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Cost runs do, which must work in this process, and returns how long it took and by how many bytes
// the heap grew meanwhile at most. Others who use the machine or allocate meanwhile count as well:
// measure more than once and take the least.
func Cost(do func()) (took time.Duration, grown int64) {
	heap := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	before, most := heap(), int64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, heap())
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
