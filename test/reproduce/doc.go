// Package reproduce drives the agent's runtime and the hub's ingest, lake and replay in one process,
// and holds that the hub recomputes what the agent published, bit for bit, or says what is missing.
package reproduce
