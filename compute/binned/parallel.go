package binned

import (
	"sync"
	"sync/atomic"
)

// Parallel calls work for threads neighbouring shares of 0 to n-1, each once, several at a time,
// and returns when all are done. Which shares there are depends on threads and n only.
//
// Training calls it for pieces of work of some ten microseconds, for which to wake a processor
// takes too long. So a goroutine that has done its share looks out for the next call for a while
// before it ends, and a caller that finds itself alone does all shares.
func Parallel(threads, n int, work func(from, to int)) {
	threads = min(threads, n)
	if threads <= 1 {
		if n > 0 {
			work(0, n)
		}
		return
	}
	j := &job{work: work, n: n, shares: int32(threads)}
	j.left.Store(j.shares)
	j.done.Add(threads)
	offered.Store(j)
	for range threads - 1 - int(waiting.Load()) {
		go help(j)
	}
	j.take()
	for spins := 0; j.left.Load() > 0; spins++ {
		if spins == spinReads {
			j.done.Wait()
			break
		}
	}
	offered.CompareAndSwap(j, nil)
}

// job is one call of Parallel.
type job struct {
	work   func(from, to int)
	n      int
	shares int32
	next   atomic.Int32 // share to be taken
	left   atomic.Int32 // shares not done
	done   sync.WaitGroup
}

// take does shares until none is left to begin.
func (j *job) take() {
	for {
		k := int(j.next.Add(1)) - 1
		if k >= int(j.shares) {
			return
		}
		j.work(k*j.n/int(j.shares), (k+1)*j.n/int(j.shares))
		j.left.Add(-1)
		j.done.Done()
	}
}

// spinReads is how often to look for work, or for its end, before giving way: some 20 microseconds.
const spinReads = 1 << 15

var (
	offered atomic.Pointer[job] // the latest
	waiting atomic.Int32        // goroutines that look at it
)

// help does shares of a job and then of those that are offered next.
func help(j *job) {
	for j != nil {
		j.take()
		waiting.Add(1)
		last := j
		j = nil
		for spins := 0; j == nil && spins < spinReads; spins++ {
			if next := offered.Load(); next != last {
				j = next
			}
		}
		waiting.Add(-1)
	}
}
