package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"skerry.dev/agent/source"
)

// Stream carries predictions and events to whoever listens on /v1/stream. Sending never waits: a
// listener that is too slow misses messages and receives their number. Safe for concurrent use.
type Stream struct {
	mu        sync.Mutex // guards listeners
	listeners map[*listener]struct{}
	count     atomic.Int32
}

const (
	maxListeners = 32
	listenerLag  = 256 // messages
)

type listener struct {
	ch     chan []byte
	missed atomic.Int64
}

// NewStream returns a stream without listeners.
func NewStream() *Stream { return &Stream{listeners: map[*listener]struct{}{}} }

// Active reports whether anybody listens, so that nobody needs to encode for nobody.
func (s *Stream) Active() bool { return s.count.Load() > 0 }

// Send passes data, a JSON document on one line, to every listener as an event of the given kind
// ("prediction", "event").
func (s *Stream) Send(kind string, data []byte) {
	if !s.Active() {
		return
	}
	msg := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		select {
		case l.ch <- msg:
		default:
			l.missed.Add(1)
		}
	}
}

func (s *Stream) join() *listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) >= maxListeners {
		return nil
	}
	l := &listener{ch: make(chan []byte, listenerLag)}
	s.listeners[l] = struct{}{}
	s.count.Store(int32(len(s.listeners)))
	return l
}

func (s *Stream) leave(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.count.Store(int32(len(s.listeners)))
}

// stream sends the state now and every two seconds, and what Send passes in between.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	l := s.opts.Stream.join()
	if l == nil {
		reply(w, http.StatusServiceUnavailable, map[string]string{"error": fmt.Sprintf("%d listeners are connected already", maxListeners)})
		return
	}
	defer s.opts.Stream.leave(l)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	state := func() error {
		doc := struct {
			Health
			Links  map[string]bool      `json:"links"`
			Missed int64                `json:"missed"`
			State  any                  `json:"state"`
			Inputs []source.InputStatus `json:"inputs,omitempty"`
		}{Links: s.opts.Status.Links(), Missed: l.missed.Load()}
		rep := s.opts.Status.Reported()
		doc.Health, doc.State = healthOf(rep), rep
		if s.opts.Inputs != nil {
			doc.Inputs = s.opts.Inputs.Status()
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "event: state\ndata: %s\n\n", text)
		return err
	}
	if state() != nil || rc.Flush() != nil {
		return
	}
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-s.stop:
			return
		case msg := <-l.ch:
			_, err = w.Write(msg)
		case <-ticker.C:
			err = state()
		}
		_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second)) // not every writer has deadlines
		if err != nil || rc.Flush() != nil {
			return
		}
	}
}
