package identity

// Paths of the enrolment API at the hub. The artifact path takes a digest and answers range
// requests with a device bearer token (the user JWT plus a signed nonce is not needed: artifacts
// are signed and carry no secrets beyond the device's own tasks).
const (
	PathEnroll   = "/v1/enroll"
	PathNonce    = "/v1/enroll/nonce"
	PathRenew    = "/v1/enroll/renew"
	PathArtifact = "/v1/artifacts/" // + digest
	PathTUF      = "/v1/tuf/"       // + metadata file name
)

// EnrollRequest binds a public key to the device a one-time token was made for.
type EnrollRequest struct {
	Token       string `json:"token"`
	PublicKey   string `json:"public_key"`  // nkey user public key, "U…"
	Fingerprint string `json:"fingerprint"` // SHA-256 over stable host facts, for clone detection
	Class       string `json:"class"`       // GOOS/GOARCH
	Version     string `json:"version"`
}

// EnrollReply is everything an agent needs to connect. It holds no secret that belongs to anybody
// else.
type EnrollReply struct {
	Device    string   `json:"device"`
	Site      string   `json:"site"`
	Cohort    string   `json:"cohort,omitempty"`
	JWT       string   `json:"jwt"`      // NATS user JWT for PublicKey, 24 h
	NATS      []string `json:"nats"`     // server URLs
	TUFRoot   []byte   `json:"tuf_root"` // 1.root.json, the trust anchor
	Artifacts string   `json:"artifacts"`
	Join      uint64   `json:"join"` // join counter, to be sent with the next renewal
}

// NonceReply is a fresh challenge, valid for a minute and one use.
type NonceReply struct {
	Nonce string `json:"nonce"`
}

// RenewRequest proves possession of the bound key.
type RenewRequest struct {
	Device string `json:"device"`
	Nonce  string `json:"nonce"`
	Join   uint64 `json:"join"`
	// Ed25519 over "skerry-renew\n" + device + "\n" + nonce + "\n" + decimal join
	Signature []byte `json:"signature"`
}

// RenewReply carries the next credential.
type RenewReply struct {
	JWT  string   `json:"jwt"`
	NATS []string `json:"nats"`
	Join uint64   `json:"join"`
}
