package meta

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Account is a person who may log in.
type Account struct {
	Name         string `json:"name"`
	Role         string `json:"role"`
	PasswordHash string `json:"-"`
	CreatedAt    int64  `json:"created_at"`
	PasswordAt   int64  `json:"password_at"`
}

const accountCols = "name, role, password_hash, created_at, password_at"

func (a *Account) dest() []any {
	return []any{&a.Name, &a.Role, &a.PasswordHash, &a.CreatedAt, &a.PasswordAt}
}

// InsertAccount stores a new account.
func (q *Queries) InsertAccount(ctx context.Context, a Account) error {
	return must(insert(ctx, q, "account", accountCols, "ON CONFLICT DO NOTHING", &a))
}

// Account returns one or ErrNotFound.
func (q *Queries) Account(ctx context.Context, name string) (Account, error) {
	return one[Account](ctx, q, "SELECT "+accountCols+" FROM account WHERE name = $1", name)
}

// Accounts lists every account.
func (q *Queries) Accounts(ctx context.Context) ([]Account, error) {
	return many[Account](ctx, q, "SELECT "+accountCols+" FROM account ORDER BY name")
}

// UpdateAccount replaces an account's role and password.
func (q *Queries) UpdateAccount(ctx context.Context, a Account) error {
	return must(q.exec(ctx, "UPDATE account SET role = $2, password_hash = $3, password_at = $4 WHERE name = $1", a.Name, a.Role, a.PasswordHash, a.PasswordAt))
}

// DeleteAccount removes an account.
func (q *Queries) DeleteAccount(ctx context.Context, name string) error {
	return must(q.exec(ctx, "DELETE FROM account WHERE name = $1", name))
}

// APIToken is a long-lived credential of a program; only its hash is stored.
type APIToken struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Hash      string `json:"-"`
	Role      string `json:"role"`
	CreatedBy string `json:"created_by"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	RevokedAt int64  `json:"revoked_at"`
}

const apiTokenCols = "id, name, hash, role, created_by, created_at, expires_at, revoked_at"

func (t *APIToken) dest() []any {
	return []any{&t.ID, &t.Name, &t.Hash, &t.Role, &t.CreatedBy, &t.CreatedAt, &t.ExpiresAt, &t.RevokedAt}
}

// InsertAPIToken stores a token.
func (q *Queries) InsertAPIToken(ctx context.Context, t APIToken) error {
	_, err := insert(ctx, q, "api_token", apiTokenCols, "", &t)
	return err
}

// APITokenByHash finds a token by the hash of its secret.
func (q *Queries) APITokenByHash(ctx context.Context, hash string) (APIToken, error) {
	return one[APIToken](ctx, q, "SELECT "+apiTokenCols+" FROM api_token WHERE hash = $1", hash)
}

// APITokens lists tokens, newest first.
func (q *Queries) APITokens(ctx context.Context) ([]APIToken, error) {
	return many[APIToken](ctx, q, "SELECT "+apiTokenCols+" FROM api_token ORDER BY created_at DESC")
}

// RevokeAPIToken ends a token.
func (q *Queries) RevokeAPIToken(ctx context.Context, id string, at int64) error {
	return must(q.exec(ctx, "UPDATE api_token SET revoked_at = $2 WHERE id = $1 AND revoked_at = 0", id, at))
}

// AuditEntry is one link of the audit chain: Hash covers the entry and PrevHash, so that a
// removed or changed entry shows.
type AuditEntry struct {
	Seq      int64  `json:"seq"`
	At       int64  `json:"at"`
	Actor    string `json:"actor"`
	Action   string `json:"action"`
	Object   string `json:"object"`
	Detail   string `json:"detail"`
	PrevHash string `json:"prev_hash"`
	Hash     string `json:"hash"`
}

const auditCols = "seq, at, actor, action, object, detail, prev_hash, hash"

func (e *AuditEntry) dest() []any {
	return []any{&e.Seq, &e.At, &e.Actor, &e.Action, &e.Object, &e.Detail, &e.PrevHash, &e.Hash}
}

func (e *AuditEntry) sum() string {
	h := sha256.New()
	for _, s := range []string{strconv.FormatInt(e.Seq, 10), strconv.FormatInt(e.At, 10), e.Actor, e.Action, e.Object, e.Detail, e.PrevHash} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Audit appends an entry to the chain. Detail is text or JSON without secrets.
func (q *Queries) Audit(ctx context.Context, actor, action, object, detail string) error {
	e := AuditEntry{Seq: 1, At: Now(), Actor: actor, Action: action, Object: object, Detail: detail}
	last, err := one[AuditEntry](ctx, q, "SELECT "+auditCols+" FROM audit ORDER BY seq DESC LIMIT 1")
	switch {
	case err == nil:
		e.Seq, e.PrevHash = last.Seq+1, last.Hash
	case !errors.Is(err, ErrNotFound):
		return err
	}
	e.Hash = e.sum()
	_, err = insert(ctx, q, "audit", auditCols, "", &e)
	return err
}

// AuditEntries returns entries after a sequence number, oldest first.
func (q *Queries) AuditEntries(ctx context.Context, after int64, limit int) ([]AuditEntry, error) {
	return many[AuditEntry](ctx, q, "SELECT "+auditCols+" FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", after, orAll(limit))
}

// VerifyAudit walks the chain and returns an error that names the first entry that does not fit. A
// chain whose beginning was pruned must have an entry that says so.
func (q *Queries) VerifyAudit(ctx context.Context) error {
	var seq int64
	var cut auditCut // where the chain that is left goes on from
	prev, known := "", true
	for {
		entries, err := q.AuditEntries(ctx, seq, 1000)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if seq == 0 && e.Seq > 1 {
				cut = auditCut{e.Seq - 1, e.PrevHash}
				seq, prev, known = cut.Seq, cut.Hash, false
			}
			if e.Seq != seq+1 || e.PrevHash != prev || e.Hash != e.sum() {
				return fmt.Errorf("verify audit chain: entry %d does not follow entry %d", e.Seq, seq)
			}
			seq, prev = e.Seq, e.Hash
			var c auditCut
			if e.Action == auditPruned && json.Unmarshal([]byte(e.Detail), &c) == nil && c == cut {
				known = true
			}
		}
	}
	if !known {
		return fmt.Errorf("verify audit chain: entry %d does not follow entry %d: it is the first, and nothing says that those before it were pruned", cut.Seq+1, cut.Seq)
	}
	return nil
}
