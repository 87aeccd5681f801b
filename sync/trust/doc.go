// Package trust verifies, on a device, that an artifact was signed by the fleet's keys: a TUF
// client with its own fetcher and clock.
//
// Root and targets keys may stay offline. The role "models", delegated by targets for models/*,
// signs models at the hub. TUF proves that a file is authentic and current; which device gets it
// when is defined by desired state (sync/spec).
//
// Metadata is kept in a directory so that rollback shows after a restart. A refresh that fails
// leaves the last good state in place. Expired metadata means: keep running what runs, install
// nothing, raise an alarm ([ErrExpired]).
//
// Signing lives in sync/trust/signing, so that a device does not link it.
package trust
