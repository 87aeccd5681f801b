// Package bus runs the hub's embedded NATS server: JetStream that syncs every write,
// operator-mode JWTs with one scoped signing key per role, the streams of telemetry, events and
// state, and the bucket of desired state.
//
// A device's credential is a user JWT signed by the device role's key. The role's template lets
// it publish below edge.<site>.<device>, call svc.*.<device>, read its own desired state by
// direct get and subscribe to its own inbox, desired and applied subjects; nothing else. Revoking
// a key closes the live connection and refuses the old credential, also after a restart.
//
// The server listens for NATS clients only: no websocket, leaf node, MQTT or monitoring port.
package bus
