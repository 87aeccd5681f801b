package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/argon2"
	"golang.org/x/time/rate"

	"skerry.dev/hub/bus"
	"skerry.dev/hub/meta"
)

// Role is what a caller may do. A role includes those before it; Device stands apart.
type Role int

// The roles.
const (
	Anyone   Role = iota // no credential needed
	Viewer               // look
	Operator             // devices, alerts, rollouts
	Engineer             // tasks, training, models
	Admin                // users and tokens
	Device               // a device's credential, or any person's
)

var roleNames = map[Role]string{
	Anyone:   "none",
	Viewer:   "viewer",
	Operator: "operator",
	Engineer: "engineer",
	Admin:    "admin",
	Device:   "device",
}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role that an account or token can have.
func ParseRole(s string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if roleNames[r] == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q: must be viewer, operator, engineer or admin", s)
}

// Caller is who sent a request.
type Caller struct {
	Name   string // "user/ada", "token/ci", "device/pump-7"; "" without a credential
	Role   Role
	Source string // network address without the port
}

type callerKey struct{}

// From returns the caller of a request.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func allowed(have, need Role) bool {
	if need == Device {
		return have != Anyone
	}
	return have != Device && have >= need || need == Anyone
}

// Require is the middleware that demands a role. Register adds it; use it directly only on
// operations registered with huma itself.
func Require(need Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := From(ctx.Context())
		switch {
		case allowed(c.Role, need):
			next(ctx)
		case c.Role == Anyone:
			refuse(ctx, http.StatusUnauthorized, "unauthorized", "log in, or send a valid token: Authorization: Bearer …")
		default:
			refuse(ctx, http.StatusForbidden, "forbidden", fmt.Sprintf("this needs the role %s, you have %s", need, c.Role))
		}
	}
}

// Guard is Require for plain handlers.
func (s *Server) Guard(need Role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.auth.caller(r.Context(), r.Header.Get("Authorization"))
		if err != nil {
			s.plainError(w, r, err)
			return
		}
		c.Source = host(r.RemoteAddr)
		switch {
		case allowed(c.Role, need):
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
		case c.Role == Anyone:
			writeError(w, http.StatusUnauthorized, "unauthorized", "log in, or send a valid token: Authorization: Bearer …")
		default:
			writeError(w, http.StatusForbidden, "forbidden", fmt.Sprintf("this needs the role %s, you have %s", need, c.Role))
		}
	})
}

// identify reads the credential of every operation.
func (s *Server) identify(ctx huma.Context, next func(huma.Context)) {
	c, err := s.auth.caller(ctx.Context(), ctx.Header("Authorization"))
	if err != nil {
		e := s.fail(ctx.Context(), err)
		refuse(ctx, e.status, e.Detail.Code, e.Detail.Message)
		return
	}
	c.Source = host(ctx.RemoteAddr())
	if !s.inPace(c) {
		ctx.SetHeader("Retry-After", "1")
		refuse(ctx, http.StatusTooManyRequests, "too_many_requests", fmt.Sprintf("more than %g requests a second: wait a moment (auth.rate_limit)", s.opts.RateLimit))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, c))
}

// maxCallers bounds the memory of the rate limit; beyond it everybody begins anew.
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

func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return h
}

// auth checks credentials.
type auth struct {
	db      *meta.Store
	bus     *bus.Bus
	secret  []byte
	ttl     time.Duration
	hashing chan struct{} // bounds the memory of concurrent password checks
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

// caller returns who a header speaks for; an invalid credential is no credential. An error is that
// of a database which cannot say whether it is one.
func (a *auth) caller(ctx context.Context, header string) (Caller, error) {
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || len(token) > 8192 {
		return Caller{}, nil
	}
	var c Caller
	var err error
	var parsed claims
	if strings.HasPrefix(token, tokenPrefix) {
		c, err = a.program(ctx, token)
	} else if _, bad := jwt.ParseWithClaims(token, &parsed, func(*jwt.Token) (any, error) { return a.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), jwt.WithIssuedAt()); bad == nil {
		c, err = a.person(ctx, &parsed)
	} else if name, key, bad := a.bus.CheckDevice(token); bad == nil {
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

// program is who an API token speaks for.
func (a *auth) program(ctx context.Context, token string) (Caller, error) {
	t, err := a.db.Read().APITokenByHash(ctx, hashToken(token))
	if err != nil || t.RevokedAt > 0 || t.ExpiresAt > 0 && t.ExpiresAt <= meta.Now() {
		return Caller{}, err
	}
	role, err := ParseRole(t.Role)
	return Caller{Name: "token/" + t.Name, Role: role}, err
}

// person is who a login speaks for, with the role of the account now, not of the time of the login.
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
		hash = dummyHash() // as slow as a real one
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

// argon2id with 19 MiB, two passes, one lane: the minimum OWASP recommends.
const (
	argonMemory = 19 * 1024
	argonTime   = 2
	argonLanes  = 1
	minPassword = 10
)

// HashPassword returns the argon2id hash that is stored for a password.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > 1024 {
		return "", fmt.Errorf("password: must have %d to 1024 characters", minPassword)
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return encodeHash(password, salt), nil
}

func encodeHash(password string, salt []byte) string {
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

func dummyHash() string { return encodeHash("", make([]byte, 16)) }

func checkPassword(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > 1024 {
		return false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil || version != argon2.Version {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 || lanes == 0 || passes == 0 || memory > 1<<20 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// limit allows ten logins a minute from one source.
func (s *Server) limit(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.tries[source]
	if l == nil {
		if len(s.tries) >= 10_000 {
			clear(s.tries)
		}
		l = rate.NewLimiter(rate.Every(6*time.Second), 10)
		s.tries[source] = l
	}
	return l.Allow()
}
