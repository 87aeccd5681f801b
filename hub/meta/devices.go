package meta

import "context"

// Device is an enrolled box. Times are microseconds, 0 means never. Suspect holds why the device
// may be a clone, "" when it is not.
type Device struct {
	Name        string `json:"name"`
	Site        string `json:"site"`
	Cohort      string `json:"cohort"`
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
	Class       string `json:"class"`
	Version     string `json:"version"`
	JoinCounter int64  `json:"join_counter"`
	CreatedAt   int64  `json:"created_at"`
	SeenAt      int64  `json:"seen_at"`
	Connected   bool   `json:"connected"`
	LinkedAt    int64  `json:"linked_at"` // when its link last came up
	Suspect     string `json:"suspect"`
	RevokedAt   int64  `json:"revoked_at"`
}

const deviceCols = "name, site, cohort, public_key, fingerprint, class, version, join_counter, created_at, seen_at, connected, linked_at, suspect, revoked_at"

func (d *Device) dest() []any {
	return []any{&d.Name, &d.Site, &d.Cohort, &d.PublicKey, &d.Fingerprint, &d.Class, &d.Version, &d.JoinCounter,
		&d.CreatedAt, &d.SeenAt, &d.Connected, &d.LinkedAt, &d.Suspect, &d.RevokedAt}
}

// InsertDevice stores a new device.
func (q *Queries) InsertDevice(ctx context.Context, d Device) error {
	_, err := insert(ctx, q, "device", deviceCols, "", &d)
	return err
}

// Device returns one device or ErrNotFound.
func (q *Queries) Device(ctx context.Context, name string) (Device, error) {
	return one[Device](ctx, q, "SELECT "+deviceCols+" FROM device WHERE name = $1", name)
}

// DeviceByKey returns the device a public key is bound to or ErrNotFound.
func (q *Queries) DeviceByKey(ctx context.Context, publicKey string) (Device, error) {
	return one[Device](ctx, q, "SELECT "+deviceCols+" FROM device WHERE public_key = $1", publicKey)
}

// Devices lists devices by name after the given one; site, when set, restricts them. limit 0
// means all.
func (q *Queries) Devices(ctx context.Context, after, site string, limit int) ([]Device, error) {
	return many[Device](ctx, q, "SELECT "+deviceCols+" FROM device WHERE name > $1 AND ($2 = '' OR site = $2) ORDER BY name LIMIT $3",
		after, site, orAll(limit))
}

func orAll(limit int) int64 {
	if limit <= 0 {
		return 1 << 40
	}
	return int64(limit)
}

// UpdateDevice replaces everything that can change of a device: key, fingerprint, class, version,
// counter, cohort, suspicion, revocation.
func (q *Queries) UpdateDevice(ctx context.Context, d Device) error {
	return must(q.exec(ctx, `UPDATE device SET site = $2, cohort = $3, public_key = $4, fingerprint = $5, class = $6, version = $7,
		join_counter = $8, seen_at = $9, suspect = $10, revoked_at = $11 WHERE name = $1`,
		d.Name, d.Site, d.Cohort, d.PublicKey, d.Fingerprint, d.Class, d.Version, d.JoinCounter, d.SeenAt, d.Suspect, d.RevokedAt))
}

// SetConnected records that a device's link to a hub came up or went down. A link that goes down
// leaves one to another hub alone: the device has moved there.
func (q *Queries) SetConnected(ctx context.Context, device, hub string, connected bool, at int64) error {
	return must(q.exec(ctx, `UPDATE device SET connected = CASE WHEN $3 OR hub = $2 THEN $3 ELSE connected END,
		hub = CASE WHEN $3 THEN $2 ELSE hub END, linked_at = CASE WHEN $3 THEN $4 ELSE linked_at END, seen_at = $4 WHERE name = $1`, device, hub, connected, at))
}

// DisconnectAll marks the devices of a hub as without a link; a hub that starts has none.
func (q *Queries) DisconnectAll(ctx context.Context, hub string) error {
	_, err := q.exec(ctx, "UPDATE device SET connected = $1 WHERE connected = $2 AND hub = $3", false, true, hub)
	return err
}

// DeleteDevice removes a device and what is known of its state. Its ledger, lake data and events
// stay.
func (q *Queries) DeleteDevice(ctx context.Context, name string) error {
	for _, table := range []string{"desired", "reported", "task_device", "host_value", "rollout_device"} {
		if _, err := q.exec(ctx, "DELETE FROM "+table+" WHERE device = $1", name); err != nil {
			return err
		}
	}
	return must(q.exec(ctx, "DELETE FROM device WHERE name = $1", name))
}

// LinkEvent is one change of a device's link.
type LinkEvent struct {
	ID        string `json:"-"`
	Device    string `json:"device"`
	At        int64  `json:"at"`
	Connected bool   `json:"connected"`
}

func (e *LinkEvent) dest() []any { return []any{&e.ID, &e.Device, &e.At, &e.Connected} }

// InsertLinkEvent appends to a device's connectivity record.
func (q *Queries) InsertLinkEvent(ctx context.Context, e LinkEvent) error {
	_, err := insert(ctx, q, "link_event", "id, device, at, connected", "", &e)
	return err
}

// LinkEvents returns a device's connectivity record from a time on.
func (q *Queries) LinkEvents(ctx context.Context, device string, from int64) ([]LinkEvent, error) {
	return many[LinkEvent](ctx, q, "SELECT id, device, at, connected FROM link_event WHERE device = $1 AND at >= $2 ORDER BY at", device, from)
}

// EnrollToken is a one-time enrolment token; only its hash is stored.
type EnrollToken struct {
	ID        string `json:"id"`
	Hash      string `json:"-"`
	Device    string `json:"device"`
	Site      string `json:"site"`
	Cohort    string `json:"cohort"`
	CreatedBy string `json:"created_by"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	UsedAt    int64  `json:"used_at"`
	UsedBy    string `json:"used_by"` // public key
	RevokedAt int64  `json:"revoked_at"`
}

const enrollTokenCols = "id, hash, device, site, cohort, created_by, created_at, expires_at, used_at, used_by, revoked_at"

func (t *EnrollToken) dest() []any {
	return []any{&t.ID, &t.Hash, &t.Device, &t.Site, &t.Cohort, &t.CreatedBy, &t.CreatedAt, &t.ExpiresAt, &t.UsedAt, &t.UsedBy, &t.RevokedAt}
}

// InsertEnrollToken stores a token.
func (q *Queries) InsertEnrollToken(ctx context.Context, t EnrollToken) error {
	_, err := insert(ctx, q, "enroll_token", enrollTokenCols, "", &t)
	return err
}

// EnrollTokenByHash finds a token by the hash of its secret.
func (q *Queries) EnrollTokenByHash(ctx context.Context, hash string) (EnrollToken, error) {
	return one[EnrollToken](ctx, q, "SELECT "+enrollTokenCols+" FROM enroll_token WHERE hash = $1", hash)
}

// EnrollTokens lists tokens, newest first.
func (q *Queries) EnrollTokens(ctx context.Context) ([]EnrollToken, error) {
	return many[EnrollToken](ctx, q, "SELECT "+enrollTokenCols+" FROM enroll_token ORDER BY created_at DESC LIMIT 1000")
}

// UseEnrollToken binds a token to the key that used it. It fails with ErrNotFound when the token
// was used before.
func (q *Queries) UseEnrollToken(ctx context.Context, id, publicKey string, at int64) error {
	return must(q.exec(ctx, "UPDATE enroll_token SET used_at = $2, used_by = $3 WHERE id = $1 AND used_at = 0", id, at, publicKey))
}

// RevokeEnrollToken makes an unused token worthless.
func (q *Queries) RevokeEnrollToken(ctx context.Context, id string, at int64) error {
	return must(q.exec(ctx, "UPDATE enroll_token SET revoked_at = $2 WHERE id = $1 AND revoked_at = 0", id, at))
}

// Document is a versioned JSON document of a device: desired or reported state.
type Document struct {
	Device     string
	Generation int64
	Document   string
	At         int64 // microseconds: when it was written or seen
}

func (d *Document) dest() []any { return []any{&d.Device, &d.Generation, &d.Document, &d.At} }

// PutDesired stores a device's desired state unless a newer generation is stored; then it fails
// with ErrNotFound.
func (q *Queries) PutDesired(ctx context.Context, d Document) error {
	return must(insert(ctx, q, "desired", "device, generation, document, updated_at", `ON CONFLICT (device) DO UPDATE SET
		generation = excluded.generation, document = excluded.document, updated_at = excluded.updated_at
		WHERE excluded.generation > desired.generation`, &d))
}

// Desired returns a device's desired state.
func (q *Queries) Desired(ctx context.Context, device string) (Document, error) {
	return one[Document](ctx, q, "SELECT device, generation, document, updated_at FROM desired WHERE device = $1", device)
}

// AllDesired returns every desired document.
func (q *Queries) AllDesired(ctx context.Context) ([]Document, error) {
	return many[Document](ctx, q, "SELECT device, generation, document, updated_at FROM desired ORDER BY device")
}

// PutReported stores what a device last reported.
func (q *Queries) PutReported(ctx context.Context, d Document) error {
	_, err := insert(ctx, q, "reported", "device, generation, document, seen_at", `ON CONFLICT (device) DO UPDATE SET
		generation = excluded.generation, document = excluded.document, seen_at = excluded.seen_at`, &d)
	return err
}

// Reported returns what a device last reported.
func (q *Queries) Reported(ctx context.Context, device string) (Document, error) {
	return one[Document](ctx, q, "SELECT device, generation, document, seen_at FROM reported WHERE device = $1", device)
}

// AllReported returns the reported state of every device.
func (q *Queries) AllReported(ctx context.Context) ([]Document, error) {
	return many[Document](ctx, q, "SELECT device, generation, document, seen_at FROM reported ORDER BY device")
}

// ReportedVersions returns when every device last reported and which generation, without the
// documents.
func (q *Queries) ReportedVersions(ctx context.Context) ([]Document, error) {
	return many[Document](ctx, q, "SELECT device, generation, '', seen_at FROM reported ORDER BY device")
}

// DesiredVersions returns the generation of every desired document, without the documents.
func (q *Queries) DesiredVersions(ctx context.Context) ([]Document, error) {
	return many[Document](ctx, q, "SELECT device, generation, '', updated_at FROM desired ORDER BY device")
}

// HostValue is the newest sample of one host metric of a device.
type HostValue struct {
	Device string `json:"device"`
	Metric string `json:"metric"`
	Time   int64  `json:"time"`
	Value  Float  `json:"value"`
}

func (h *HostValue) dest() []any { return []any{&h.Device, &h.Metric, &h.Time, &h.Value} }

// PutHostValue keeps the newest sample of a metric, of at most MaxHostMetrics of a device.
func (q *Queries) PutHostValue(ctx context.Context, h HostValue) error {
	n, err := q.int64(ctx, "SELECT COUNT(*) FROM host_value WHERE device = $1 AND metric <> $2", h.Device, h.Metric)
	if err != nil || n >= MaxHostMetrics {
		return err
	}
	_, err = insert(ctx, q, "host_value", "device, metric, time, value", `ON CONFLICT (device, metric) DO UPDATE SET
		time = excluded.time, value = excluded.value WHERE excluded.time > host_value.time`, &h)
	return err
}

// HostValues returns the newest host telemetry of a device.
func (q *Queries) HostValues(ctx context.Context, device string) ([]HostValue, error) {
	return many[HostValue](ctx, q, "SELECT device, metric, time, value FROM host_value WHERE device = $1 ORDER BY metric", device)
}
