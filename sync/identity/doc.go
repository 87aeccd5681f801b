// Package identity gives a device its name and keys: enrolment with a one-time token, the NATS
// user key, renewal.
//
// The agent makes an Ed25519 user key (nkey, file mode 0600). The hub binds the public key to the
// device that the token names; repeating an enrolment with the same key is idempotent, with
// another key it is refused. The credential is a NATS user JWT of 24 h; renewal signs a nonce
// with the same key.
package identity
