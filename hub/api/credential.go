package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"skerry.dev/hub/keys"
	"skerry.dev/hub/meta"
)

// auth checks credentials.
type auth struct {
	db      *meta.Store
	keys    *keys.Ring
	secret  []byte
	ttl     time.Duration
	hashing chan struct{} // bounds the memory of concurrent password checks
	dummy   string        // the hash that a password is compared with when there is no such user
}

const (
	issuer      = "skerry-hub"
	audience    = "skerry"
	tokenPrefix = "skt_"
)

type claims struct {
	jwt.RegisteredClaims
	PasswordAt int64 `json:"pwd"` // a changed password voids older logins
}

// UnmarshalJSON refuses times that are texts: a NumericDate is a number (RFC 7519, 2), and the
// library takes "123" for one.
func (c *claims) UnmarshalJSON(b []byte) error {
	var times map[string]json.RawMessage
	if err := json.Unmarshal(b, &times); err != nil {
		return err
	}
	for name, v := range times { // names are matched without regard to case below
		if slices.Contains([]string{"exp", "iat", "nbf"}, strings.ToLower(name)) && strings.HasPrefix(string(v), `"`) {
			return fmt.Errorf("claim %s is %s: must be a number", name, v)
		}
	}
	type plain claims
	return json.Unmarshal(b, (*plain)(c))
}

// caller returns whom a header identifies; an invalid credential is no credential. An error is that
// of a database which cannot be read.
func (a *auth) caller(ctx context.Context, header string) (Caller, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if token = strings.TrimLeft(token, " "); !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 8192 {
		return Caller{}, nil
	}
	var c Caller
	var err error
	var parsed claims
	if strings.HasPrefix(token, tokenPrefix) {
		c, err = a.program(ctx, token)
	} else if _, bad := jwt.ParseWithClaims(token, &parsed, a.key,
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithIssuedAt()); bad == nil {
		c, err = a.person(ctx, &parsed)
	} else if name, key, bad := a.keys.CheckDevice(token); bad == nil {
		c, err = a.device(ctx, name, key)
	}
	if errors.Is(err, meta.ErrNotFound) {
		return Caller{}, nil
	}
	if err != nil {
		return Caller{}, fmt.Errorf("look up credential: %w", err)
	}
	return c, nil
}

// key returns what logins are signed with. A token with critical extensions is refused, since none
// is understood here (RFC 7515, 4.1.11).
func (a *auth) key(t *jwt.Token) (any, error) {
	if crit, ok := t.Header["crit"]; ok {
		return nil, fmt.Errorf("critical header %v: none is understood", crit)
	}
	return a.secret, nil
}

// program is whom an API token identifies.
func (a *auth) program(ctx context.Context, token string) (Caller, error) {
	t, err := a.db.Read().APITokenByHash(ctx, hashToken(token))
	if err != nil || t.RevokedAt > 0 || t.ExpiresAt > 0 && t.ExpiresAt <= meta.Now() {
		return Caller{}, err
	}
	role, err := ParseRole(t.Role)
	if err != nil {
		return Caller{}, err
	}
	// A token is worth what its maker is worth: it ends with the maker's account and password, and
	// has no more rights than the maker has left.
	if name, ok := strings.CutPrefix(t.CreatedBy, "user/"); ok {
		maker, err := a.db.Read().Account(ctx, name)
		if err != nil || maker.PasswordAt > t.CreatedAt {
			return Caller{}, err
		}
		most, err := ParseRole(maker.Role)
		if err != nil {
			return Caller{}, err
		}
		role = min(role, most)
	}
	return Caller{Name: "token/" + t.Name, Role: role}, nil
}

// person is whom a login identifies, with the role of the account now, not of the time of the
// login.
func (a *auth) person(ctx context.Context, c *claims) (Caller, error) {
	acc, err := a.db.Read().Account(ctx, c.Subject)
	if err != nil || acc.PasswordAt != c.PasswordAt {
		return Caller{}, err
	}
	role, err := ParseRole(acc.Role)
	return Caller{Name: "user/" + acc.Name, Role: role}, err
}

// device is the device of a NATS credential whose signature is good.
func (a *auth) device(ctx context.Context, name, key string) (Caller, error) {
	d, err := a.db.Read().Device(ctx, name)
	if err != nil || d.RevokedAt != 0 || d.PublicKey != key {
		return Caller{}, err
	}
	return Caller{Name: "device/" + name, Role: Device}, nil
}

func hashToken(t string) string {
	sum := sha256.Sum256([]byte(t))
	return hex.EncodeToString(sum[:])
}

var errLogin = errors.New("wrong user name or password")

// login checks a password and returns a token.
func (a *auth) login(ctx context.Context, name, password string) (token string, acc meta.Account, expires time.Time, err error) {
	acc, err = a.db.Read().Account(ctx, name)
	hash := acc.PasswordHash
	if errors.Is(err, meta.ErrNotFound) {
		hash = a.dummy // as slow as a real one: one hash in either case
	} else if err != nil {
		return "", acc, expires, err
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return "", acc, expires, ctx.Err()
	}
	if !checkPassword(hash, password) || err != nil {
		return "", acc, expires, errLogin
	}
	now := time.Now()
	expires = now.Add(a.ttl)
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		PasswordAt: acc.PasswordAt,
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   name,
			Issuer:    issuer,
			Audience:  jwt.ClaimStrings{audience},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
			ID:        rand.Text(),
		},
	}).SignedString(a.secret)
	return token, acc, expires, err
}
