// Package api is the hub's REST interface: OpenAPI 3.1 at /openapi.json, an offline page that
// renders it at /docs, health and metrics.
//
// Callers are people (POST /v1/login gives a JWT), programs (API tokens, "skt_…") or devices
// (their NATS user JWT, for artifacts only). A role includes the ones before it: viewer,
// operator, engineer, admin. Every operation is registered with register, which takes the role
// it needs, so there is no route without a row in the authorisation table (Server.Table).
//
// Bodies are strict JSON: an unknown, repeated or differently cased key is refused. Every error
// is {"error": {"code": …, "message": …}}.
//
// The package stands above what it shows: each file holds the operations of one noun over a domain
// package, and no domain package imports this one. New registers the hub's core; rollouts and
// training are added with [Server.AddRollouts] and [Server.AddTraining].
package api
