package api

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"skerry.dev/hub/meta"
)

// maxCallers bounds the memory of the rate limits; beyond it everybody begins anew.
const maxCallers = 10_000

// inPace reports whether a caller keeps within this hub's rate limit. Callers without a credential
// are distinguished by their address.
func (s *Server) inPace(c Caller) bool {
	if !s.opts.Auth.RateLimit {
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
		perSecond := s.opts.Auth.RequestsPerSecond
		l = rate.NewLimiter(rate.Limit(perSecond), int(4*perSecond))
		s.pace[key] = l
	}
	s.mu.Unlock()
	return l.Allow()
}

// loginEvery and loginBurst bound the logins of one source.
const (
	loginEvery = 6 * time.Second
	loginBurst = 10
)

// mayLogin counts a login of a source and reports whether it is allowed. Unlike the rate limit,
// which each hub keeps for itself to protect itself, the count is in the database: guessing
// passwords is not faster at several hubs.
func (s *Server) mayLogin(ctx context.Context, source string) (ok bool, err error) {
	err = s.DB.Tx(ctx, func(q *meta.Queries) (err error) {
		ok, err = q.Try(ctx, "login", source, loginEvery.Microseconds(), loginBurst, meta.Now())
		return err
	})
	return ok, err
}
