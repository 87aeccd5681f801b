package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
	"skerry.dev/hub/bus"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

var (
	// ErrToken is the one answer to every enrolment token that cannot be used, whatever the reason.
	ErrToken = errors.New("the enrolment token is not valid: ask for a new one")
	// ErrRate is returned when a source tries too often.
	ErrRate = errors.New("too many tries: wait a minute")
	// ErrRenew is the one answer to every renewal that does not prove the bound key.
	ErrRenew = errors.New("renewal refused: enrol again")
	// ErrExists is returned for a token of a device that is enrolled and not revoked.
	ErrExists = errors.New("the device is enrolled: revoke it before it gets a new key")
	// ErrUnchanged is returned by an update function of UpdateDesired that changed nothing;
	// nothing is stored then.
	ErrUnchanged = errors.New("unchanged")
)

// Options configure enrolment.
type Options struct {
	// CredentialTTL is the life of a device's NATS credential. Default 24 h.
	CredentialTTL time.Duration
	// TokenTTL is the life of an enrolment token. Default 1 h.
	TokenTTL time.Duration
	// TriesPerMinute bounds enrolment and renewal requests of one source address; a success
	// starts the count again. Default 10.
	TriesPerMinute int
	// Hub names this hub among those that share the database; only the links of its own devices
	// end with its restart.
	Hub string
	// TrustRoot returns 1.root.json, the trust anchor handed out at enrolment.
	TrustRoot func() ([]byte, error)
	// Log receives link trouble. nil: nowhere.
	Log *slog.Logger
}

// Fleet is safe for concurrent use.
type Fleet struct {
	db   *meta.Store
	bus  *bus.Bus
	keys *keys.Ring
	opts Options

	wake chan struct{} // there are links to store

	mu          sync.Mutex // guards links and unpublished
	links       []meta.LinkEvent
	unpublished map[string]bool // devices whose desired state is not in the bucket yet
}

// New returns a fleet that does not follow links before Run.
func New(db *meta.Store, b *bus.Bus, ring *keys.Ring, opts Options) *Fleet {
	if opts.CredentialTTL <= 0 {
		opts.CredentialTTL = 24 * time.Hour
	}
	if opts.TokenTTL <= 0 {
		opts.TokenTTL = time.Hour
	}
	if opts.TriesPerMinute <= 0 {
		opts.TriesPerMinute = 10
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{
		db:          db,
		bus:         b,
		keys:        ring,
		opts:        opts,
		wake:        make(chan struct{}, 1),
		unpublished: map[string]bool{},
	}
}

// tries names this package's counts in the database.
const tries = "enroll"

// allow counts a try of a source. The count is in the database: it holds over every hub.
func (f *Fleet) allow(ctx context.Context, source string) error {
	ok := false
	err := f.db.Tx(ctx, func(q *meta.Queries) (err error) {
		n := int64(f.opts.TriesPerMinute)
		ok, err = q.Try(ctx, tries, source, time.Minute.Microseconds()/n, n, meta.Now())
		return err
	})
	if err == nil && !ok {
		err = ErrRate
	}
	return err
}

func hashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// CreateToken makes a one-time token; the secret is returned once and only its hash stored. ttl 0
// means the default.
func (f *Fleet) CreateToken(ctx context.Context, actor, device, site, cohort string, ttl time.Duration) (secret string, t meta.EnrollToken, err error) {
	var errs []error
	for _, n := range []struct{ what, name string }{{"device", device}, {"site", site}, {"cohort", cohort}} {
		if !spec.ValidName(n.name) && (n.what != "cohort" || n.name != "") {
			errs = append(errs, fmt.Errorf("%s name %q: must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", n.what, n.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", t, err
	}
	if ttl <= 0 || ttl > 30*24*time.Hour {
		ttl = f.opts.TokenTTL
	}
	secret = "ske_" + rand.Text() // 130 random bits
	now := time.Now()
	t = meta.EnrollToken{
		ID:        rand.Text(),
		Hash:      hashSecret(secret),
		Device:    device,
		Site:      site,
		Cohort:    cohort,
		CreatedBy: actor,
		CreatedAt: now.UnixMicro(),
		ExpiresAt: now.Add(ttl).UnixMicro(),
	}
	err = f.db.Tx(ctx, func(q *meta.Queries) error {
		d, err := q.Device(ctx, device)
		switch {
		case err == nil && d.RevokedAt == 0:
			return fmt.Errorf("device %q: %w", device, ErrExists)
		case err != nil && !errors.Is(err, meta.ErrNotFound):
			return err
		}
		if err := q.InsertEnrollToken(ctx, t); err != nil {
			return err
		}
		return q.Audit(ctx, actor, "enroll_token.create", device, "site="+site+" cohort="+cohort)
	})
	if err != nil {
		return "", meta.EnrollToken{}, err // a secret that is not stored would only mislead
	}
	return secret, t, nil
}

// Enroll binds a key to the device of a token and returns its first credential. source is the
// caller's address, for the rate limit.
func (f *Fleet) Enroll(ctx context.Context, source string, r identity.EnrollRequest) (identity.EnrollReply, error) {
	var reply identity.EnrollReply
	if err := f.allow(ctx, source); err != nil {
		return reply, err
	}
	if !nkeys.IsValidPublicUserKey(r.PublicKey) || len(r.Fingerprint) > 128 || len(r.Class) > 64 || len(r.Version) > 64 {
		return reply, ErrToken
	}
	var dev meta.Device
	err := f.db.Tx(ctx, func(q *meta.Queries) error {
		t, err := q.EnrollTokenByHash(ctx, hashSecret(r.Token))
		if errors.Is(err, meta.ErrNotFound) {
			return ErrToken
		}
		if err != nil {
			return err
		}
		now := meta.Now()
		again := t.UsedAt > 0 && t.UsedBy == r.PublicKey // the reply to the first try was lost
		if t.RevokedAt > 0 || t.ExpiresAt < now || (t.UsedAt > 0 && !again) {
			return ErrToken
		}
		if dev, err = bind(ctx, q, t, r, again, now); err != nil {
			return err
		}
		// sites share addresses, and whoever succeeds is not guessing
		return q.ResetTries(ctx, tries, source)
	})
	if err != nil {
		return reply, err
	}
	reply = identity.EnrollReply{
		Device:    dev.Name,
		Site:      dev.Site,
		Cohort:    dev.Cohort,
		NATS:      f.bus.URLs(),
		Artifacts: identity.PathArtifact,
		Join:      uint64(dev.JoinCounter),
	}
	if f.opts.TrustRoot != nil {
		if reply.TUFRoot, err = f.opts.TrustRoot(); err != nil {
			return reply, err
		}
	}
	reply.JWT, err = f.keys.SignDevice(dev.PublicKey, dev.Name, dev.Site, f.opts.CredentialTTL)
	return reply, err
}

func bind(ctx context.Context, q *meta.Queries, t meta.EnrollToken, r identity.EnrollRequest, again bool, now int64) (meta.Device, error) {
	dev, err := q.Device(ctx, t.Device)
	known := err == nil
	switch {
	case err != nil && !errors.Is(err, meta.ErrNotFound):
		return dev, err
	case again && known && dev.PublicKey == r.PublicKey && dev.RevokedAt == 0:
		return dev, nil
	case again:
		return dev, ErrToken // the device was revoked, deleted or given to another key since
	case known && dev.RevokedAt == 0:
		return dev, ErrToken
	}
	if other, err := q.DeviceByKey(ctx, r.PublicKey); err == nil && other.Name != t.Device {
		return dev, ErrToken // one key is one device
	} else if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return dev, err
	}
	created := now
	if known {
		created = dev.CreatedAt
	}
	dev = meta.Device{
		Name:        t.Device,
		Site:        t.Site,
		Cohort:      t.Cohort,
		PublicKey:   r.PublicKey,
		Fingerprint: r.Fingerprint,
		Class:       r.Class,
		Version:     r.Version,
		JoinCounter: 1,
		CreatedAt:   created,
		SeenAt:      now,
	}
	if known {
		err = q.UpdateDevice(ctx, dev)
	} else {
		err = q.InsertDevice(ctx, dev)
	}
	if err != nil {
		return dev, err
	}
	if err := q.UseEnrollToken(ctx, t.ID, r.PublicKey, now); err != nil {
		return dev, err
	}
	if err := changed(ctx, q, t.Device, "enrolled"); err != nil {
		return dev, err
	}
	return dev, q.Audit(ctx, "device/"+t.Device, "device.enroll", t.Device, "key="+r.PublicKey)
}

// changed appends to the feed what became of a device.
func changed(ctx context.Context, q *meta.Queries, device, change string) error {
	return feed.Add(ctx, q, feed.KindDevice, "", device, feed.Changed{Change: change})
}

const nonceTTL = time.Minute

// Nonce makes a challenge for a renewal, good for a minute and one use at any hub.
func (f *Fleet) Nonce(ctx context.Context, source string) (identity.NonceReply, error) {
	if err := f.allow(ctx, source); err != nil {
		return identity.NonceReply{}, err
	}
	n := rand.Text()
	err := f.db.Tx(ctx, func(q *meta.Queries) error {
		now := meta.Now()
		return q.InsertNonce(ctx, n, now+nonceTTL.Microseconds(), now)
	})
	if errors.Is(err, meta.ErrFull) {
		err = ErrRate
	}
	if err != nil {
		return identity.NonceReply{}, err
	}
	return identity.NonceReply{Nonce: n}, nil
}

// Renew checks a signed nonce and returns the next credential. The join counter grows by one with
// each renewal; the number before it is accepted too, because a reply may have been lost. An
// older one means two copies of the key exist: the device becomes suspect and goes on.
func (f *Fleet) Renew(ctx context.Context, source string, r identity.RenewRequest) (identity.RenewReply, error) {
	var reply identity.RenewReply
	if err := f.allow(ctx, source); err != nil {
		return reply, err
	}
	good := false
	err := f.db.Tx(ctx, func(q *meta.Queries) (err error) {
		good, err = q.UseNonce(ctx, r.Nonce, meta.Now())
		return err
	})
	if err != nil {
		return reply, err
	}
	if !good || r.Join >= math.MaxInt64 { // a counter that overflowed would hide every copy
		return reply, ErrRenew
	}
	var dev meta.Device
	suspect := ""
	err = f.db.Tx(ctx, func(q *meta.Queries) (err error) {
		suspect = ""
		dev, err = q.Device(ctx, r.Device)
		if errors.Is(err, meta.ErrNotFound) {
			return ErrRenew
		}
		if err != nil {
			return err
		}
		key, err := nkeys.FromPublicKey(dev.PublicKey)
		if err != nil {
			return err
		}
		if dev.RevokedAt > 0 || key.Verify(identity.RenewText(r.Device, r.Nonce, r.Join), r.Signature) != nil {
			return ErrRenew
		}
		switch n := int64(r.Join); {
		case n >= dev.JoinCounter: // ahead: this hub was restored from a backup
			dev.JoinCounter = n + 1
		case n < dev.JoinCounter-1 && dev.Suspect == "":
			dev.Suspect = fmt.Sprintf("renewal with join counter %d, the device has confirmed %d", n, dev.JoinCounter)
			suspect = dev.Suspect
		}
		dev.SeenAt = meta.Now()
		if err := errors.Join(q.UpdateDevice(ctx, dev), q.ResetTries(ctx, tries, source)); err != nil || suspect == "" {
			return err
		}
		if err := feed.Add(ctx, q, feed.KindSuspect, "", dev.Name, feed.Suspect{Reason: suspect}); err != nil {
			return err
		}
		return f.stopPushes(ctx, q, dev.Name, suspect)
	})
	if err != nil {
		return reply, err
	}
	if suspect != "" {
		f.publish(ctx, dev.Name)
	}
	reply = identity.RenewReply{NATS: f.bus.URLs(), Join: uint64(dev.JoinCounter)}
	reply.JWT, err = f.keys.SignDevice(dev.PublicKey, dev.Name, dev.Site, f.opts.CredentialTTL)
	return reply, err
}

// ClearSuspect is the operator's decision that a device is the only one of its name.
func (f *Fleet) ClearSuspect(ctx context.Context, actor, device string) error {
	err := f.db.Tx(ctx, func(q *meta.Queries) error {
		d, err := q.Device(ctx, device)
		if err != nil {
			return err
		}
		d.Suspect = ""
		return errors.Join(q.UpdateDevice(ctx, d), q.Audit(ctx, actor, "device.clear_suspect", device, ""))
	})
	if err != nil {
		return fmt.Errorf("clear suspicion of device %q: %w", device, err)
	}
	_, err = f.UpdateDesired(ctx, device, func(_ *meta.Queries, d *spec.Desired) error {
		if !d.Suspect {
			return ErrUnchanged
		}
		d.Suspect = false
		return nil
	})
	return err
}

// Revoke voids a device's credential and closes its connection. It may enrol again with a new
// token.
func (f *Fleet) Revoke(ctx context.Context, actor, device string) error {
	var key string
	before := keys.VoidBefore(time.Now())
	err := f.db.Tx(ctx, func(q *meta.Queries) error {
		d, err := q.Device(ctx, device)
		if err != nil {
			return err
		}
		key = d.PublicKey
		d.RevokedAt = meta.Now()
		return errors.Join(q.UpdateDevice(ctx, d), q.PutRevocation(ctx, meta.Revocation{PublicKey: key, Before: before}),
			changed(ctx, q, device, "revoked"), q.Audit(ctx, actor, "device.revoke", device, "key="+key))
	})
	if err == nil {
		err = f.keys.Revoke(map[string]int64{key: before}) // the other hubs follow the feed
	}
	if err != nil {
		return fmt.Errorf("revoke device %q: %w", device, err)
	}
	return nil
}

// Delete revokes a device and forgets its state. Its data stays.
func (f *Fleet) Delete(ctx context.Context, actor, device string) error {
	if err := f.Revoke(ctx, actor, device); err != nil {
		return err
	}
	if err := f.db.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(q.DeleteDevice(ctx, device), changed(ctx, q, device, "deleted"), q.Audit(ctx, actor, "device.delete", device, ""))
	}); err != nil {
		return fmt.Errorf("delete device %q: %w", device, err)
	}
	f.publish(ctx, device)
	return nil
}
