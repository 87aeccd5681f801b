package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// display shows progress: one line that renews itself on a terminal, a line now and then elsewhere.
type display struct {
	mu     sync.Mutex
	w      io.Writer
	tty    bool
	last   time.Time
	seen   map[string]bool
	looked atomic.Int64
}

func newDisplay(f *os.File) *display {
	st, err := f.Stat()
	return &display{w: f, tty: err == nil && st.Mode()&os.ModeCharDevice != 0, seen: map[string]bool{}}
}

func (s *display) lastLook() int64 { return s.looked.Load() }
func (s *display) look(i int64)    { s.looked.Store(i) }

// event prints a line that stays.
func (s *display) event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.w, "  "+format+"\n", args...)
}

func (s *display) clear() {
	if s.tty {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

func (s *display) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

// once prints a line the first time its key is seen.
func (s *display) once(key, format string, args ...any) {
	s.mu.Lock()
	old := s.seen[key]
	s.seen[key] = true
	s.mu.Unlock()
	if !old {
		s.event(format, args...)
	}
}

// update renews the progress line and reports what is new.
func (s *display) update(d *demo) {
	d.mu.Lock()
	jobs, rolls := d.jobs, d.rollouts
	d.mu.Unlock()
	now := ""
	for i := len(jobs) - 1; i >= 0; i-- {
		j := jobs[i]
		switch j.State {
		case "running":
			s.once(j.ID, "training begins: %s", j.Spec.Trigger)
			now = fmt.Sprintf("training: %s %d/%d %s", j.Result.Stage, j.Result.Done, j.Result.Trials, j.Result.Learner)
		case "done":
			s.once(j.ID, "training begins: %s", j.Spec.Trigger)
			s.once(j.ID+"done", "%s trained on %d rows (%s): %s", j.Result.Model, j.Result.Rows, j.Result.Learner, j.Result.Outcome)
		case "failed":
			s.once(j.ID+"done", "training failed: %s", j.Error)
		}
	}
	for i := len(rolls) - 1; i >= 0; i-- {
		r := rolls[i]
		for _, h := range r.Status.History {
			s.once(r.ID+h.Stage+string(h.State), "rollout of %s: %s, %s", r.Model, h.Stage, string(h.State))
		}
		if r.State == "running" {
			c := r.Status.Counts
			now = fmt.Sprintf("rollout of %s: %s %s, %d shadow %d probation %d active %d offline", r.Model, r.Status.StageName, r.Status.Step, c.Shadow, c.Trial, c.Active, c.Unknown)
		}
	}
	slow := d.scores[0].progress()
	for _, sc := range d.scores {
		slow = min(slow, sc.progress())
	}
	hs := d.stations[0].hours
	share := float64(slow-hs[0].at.Unix()) / float64(hs[len(hs)-1].at.Unix()-hs[0].at.Unix())
	share = min(max(share, 0), 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tty && time.Since(s.last) < 10*time.Second {
		return
	}
	s.last = time.Now()
	s.clear()
	bar := strings.Repeat("#", int(share*24)) + strings.Repeat(".", 24-int(share*24))
	fmt.Fprintf(s.w, "  [%s] %s %3.0f %% %4.0f s  %s", bar, time.Unix(max(slow, hs[0].at.Unix()), 0).UTC().Format(time.DateOnly), share*100, time.Since(d.began).Seconds(), now)
	if !s.tty {
		fmt.Fprintln(s.w)
	}
}
