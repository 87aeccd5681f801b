// Package keys holds the keys of the hub's NATS operator: operator, account and system account,
// one scoped signing key per role, and the list of revoked users. It signs and checks the
// credentials of devices and workers.
//
// A device's credential is a user JWT signed by the device role's key. The role's template lets it
// publish to the subjects of its telemetry, events and reported state, call svc.hello.<device> and
// svc.desired.<device>, and subscribe to its own inbox, desired and applied subjects, 64
// subscriptions at most; nothing else. The role's template is in the account, so that it holds for
// credentials that were signed before, too. No subject that it may publish to is answered by the
// server itself: the server would answer wherever the device says, with an authority that no
// permission bounds. Revocations are kept in the database, for every hub (package fleet); the ring
// enforces them.
package keys
