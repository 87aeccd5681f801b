// Package embedded runs the hub's NATS server in the hub's own process: JetStream that syncs every
// write, and accounts and credentials in operator mode from the hub's key ring.
//
// Revoking a key closes the live connection and refuses the old credential, also after a restart.
// The server listens for NATS clients only: no websocket, leaf node, MQTT or monitoring port.
package embedded
