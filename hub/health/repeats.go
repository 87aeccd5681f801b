package health

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

const (
	// repeatEvery is how often what goes wrong again and again is logged.
	repeatEvery = time.Minute
	// maxRepeats bounds the kinds that are remembered, maxKind the bytes of one's name.
	maxRepeats = 1000
	maxKind    = 300
)

// Repeats logs what goes wrong again and again once a minute, with how often it was left out: what
// is tried each second fails each second, and the lines of an hour would push everything else out
// of a log. Safe for concurrent use.
type Repeats struct {
	log *slog.Logger

	mu    sync.Mutex // guards kinds
	kinds map[string]*repeat
}

// repeat is what was logged of one kind, and left out since.
type repeat struct {
	at    time.Time // of the newest line
	n     int       // left out since
	level slog.Level
	msg   string // of the newest that was left out, as args
	args  []any
}

// NewRepeats returns an account without repeats. log may be nil.
func NewRepeats(log *slog.Logger) *Repeats {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Repeats{log: log, kinds: map[string]*repeat{}}
}

var digits = regexp.MustCompile(`[0-9]+`)

// Log logs the first of a kind and what comes a minute after the last line of it; what comes in
// between is counted, and left_out of the next line says how much. Kinds that differ in numbers
// alone, such as those of a port or a count, are one.
func (r *Repeats) Log(level slog.Level, kind, msg string, args ...any) {
	kind = digits.ReplaceAllString(kind[:min(len(kind), maxKind)], "#")
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	k := r.kinds[kind]
	switch {
	case k == nil:
		if len(r.kinds) >= maxRepeats { // of so many kinds nobody reads any
			r.flush(time.Time{})
		}
		k = &repeat{}
		r.kinds[kind] = k
	case now.Sub(k.at) < repeatEvery:
		k.n++
		k.level, k.msg, k.args = level, msg, args
		return
	}
	k.level, k.msg, k.args = level, msg, args
	r.write(k)
	k.at = now
}

// Flush logs the newest of what was left out and is a minute old, and forgets kinds of which
// nothing has come for that long. Whoever calls Log calls it now and then, so that the end of what
// went wrong is told as its beginning is.
func (r *Repeats) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush(time.Now().Add(-repeatEvery))
}

// flush does so for kinds whose newest line is not after before, or for all when it is zero. r.mu is
// held.
func (r *Repeats) flush(before time.Time) {
	for kind, k := range r.kinds {
		if !before.IsZero() && k.at.After(before) {
			continue
		}
		if k.n > 0 {
			r.write(k)
			k.at = time.Now()
		}
		if k.args = nil; before.IsZero() || !k.at.After(before) {
			delete(r.kinds, kind)
		}
	}
}

// write logs what is remembered of a kind. r.mu is held.
func (r *Repeats) write(k *repeat) {
	args := k.args
	if k.n > 0 {
		args = append(args[:len(args):len(args)], "left_out", k.n)
	}
	r.log.Log(context.Background(), k.level, k.msg, args...)
	k.n = 0
}
