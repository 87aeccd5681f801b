package api

import (
	"time"

	"golang.org/x/time/rate"
)

// maxCallers bounds the memory of the rate limits; beyond it everybody begins anew.
const maxCallers = 10_000

// inPace reports whether a caller keeps within the rate limit. Callers without a credential are
// told apart by their address.
func (s *Server) inPace(c Caller) bool {
	if s.opts.RateLimit <= 0 {
		return true
	}
	key := c.Name
	if key == "" {
		key = c.Source
	}
	s.mu.Lock()
	l := s.pace[key]
	if l == nil {
		if len(s.pace) >= maxCallers {
			clear(s.pace)
		}
		l = rate.NewLimiter(rate.Limit(s.opts.RateLimit), int(4*s.opts.RateLimit))
		s.pace[key] = l
	}
	s.mu.Unlock()
	return l.Allow()
}

// limit allows ten logins a minute from one source.
func (s *Server) limit(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.tries[source]
	if l == nil {
		if len(s.tries) >= maxCallers {
			clear(s.tries)
		}
		l = rate.NewLimiter(rate.Every(6*time.Second), 10)
		s.tries[source] = l
	}
	return l.Allow()
}
