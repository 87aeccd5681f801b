package api

import (
	"context"
	"errors"
	"fmt"
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

func (s *Server) tooFast() string {
	return fmt.Sprintf("more than %g requests a second: wait a moment (auth.rate_limit)", s.opts.Auth.RequestsPerSecond)
}

// The bounds of logins that fail: of one account, wherever they come from, and of one address,
// behind which many people may be.
const (
	accountEvery = 6 * time.Second // ten a minute
	accountBurst = 10
	sourceEvery  = time.Second // sixty a minute
	sourceBurst  = 60

	accountTries = "login-account"
	sourceTries  = "login-source"
	// where an account has logged in from has a bound of its own for so long, so that others who guess
	// its password do not keep its owner out
	knownSources = "login-known"
	knownFor     = 90 * 24 * time.Hour
)

// mayLogin counts a login and reports whether it is allowed. Unlike the rate limit, which each hub
// keeps for itself to protect itself, the count is in the database: guessing passwords is not
// faster at several hubs.
func (s *Server) mayLogin(ctx context.Context, account, source string) (ok bool, err error) {
	err = s.DB.Tx(ctx, func(q *meta.Queries) (err error) {
		now := meta.Now()
		ok, err = q.Try(ctx, sourceTries, source, sourceEvery.Microseconds(), sourceBurst, now)
		if err != nil || !ok {
			return err
		}
		of, known := account, false
		if known, err = q.Tried(ctx, knownSources, from(account, source), now); err != nil {
			return err
		}
		if known {
			of = from(account, source)
		}
		ok, err = q.Try(ctx, accountTries, of, accountEvery.Microseconds(), accountBurst, now)
		return err
	})
	return ok, err
}

// from names an account at one address. No account's name has a space.
func from(account, source string) string { return account + " " + source }

// loggedIn frees the tries of an account: its owner was there.
func (s *Server) loggedIn(ctx context.Context, account, source string) error {
	return s.DB.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(
			q.ResetTries(ctx, accountTries, account),
			q.ResetTries(ctx, accountTries, from(account, source)),
			q.ResetTries(ctx, knownSources, from(account, source)),
			q.NoteTry(ctx, knownSources, from(account, source), meta.Now()+knownFor.Microseconds()),
		)
	})
}
