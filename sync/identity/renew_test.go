package identity

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// renewals answers as a hub whose clock is behind this one's by so much.
type renewals struct {
	behind time.Duration
	n      int
	lose   int // answers that do not come
}

func (h *renewals) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.lose > 0 {
		h.lose--
		return nil, io.ErrUnexpectedEOF
	}
	var reply any = NonceReply{"nonce"}
	if r.URL.Path == PathRenew {
		h.n++
		reply = RenewReply{JWT: testJWT(time.Now().Add(24*time.Hour - h.behind)), Join: uint64(h.n)}
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(text)))}, nil
}

// TestRenewsByItsLife: a credential of a day is renewed after two thirds of it, at whatever
// distance this device's clock is from the hub's, and soon again where the hub did not answer.
func TestRenewsByItsLife(t *testing.T) {
	for name, tt := range map[string]struct {
		behind time.Duration
		lose   int
		want   int // in 47 hours
	}{
		"right":  {0, 0, 2},                         // 16 h, 32 h
		"ahead":  {10 * 365 * 24 * time.Hour, 0, 3}, // at once, 16 h, 32 h
		"behind": {-24 * time.Hour, 0, 2},
		"lost":   {-24 * time.Hour, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, id := enrolled(t, credential{Hub: "http://hub", EnrollReply: EnrollReply{
					Device: "d",
					Site:   "s",
					JWT:    testJWT(time.Now().Add(24*time.Hour - tt.behind)),
				}})
				h := &renewals{behind: tt.behind, lose: tt.lose}
				id.http = &http.Client{Transport: h}
				ctx, cancel := context.WithTimeout(t.Context(), 47*time.Hour)
				defer cancel()
				if err := id.Run(ctx, slog.New(slog.DiscardHandler)); err != nil {
					t.Fatal(err)
				}
				if h.n != tt.want {
					t.Errorf("renewed %d times, want %d", h.n, tt.want)
				}
			})
		})
	}
}
