// Package api is the hub's REST interface: OpenAPI 3.1 at /openapi.json, an offline page that
// renders it at /docs, health and metrics.
//
// Callers are people (POST /v1/login gives a JWT), programs (API tokens, "skt_…") or devices
// (their NATS user JWT, for artifacts only). A role includes the ones before it: viewer,
// operator, engineer, admin. Every operation is registered with [Register], which takes the role
// it needs, so there is no route without a row in the authorisation table (Server.Table).
//
// Bodies are strict JSON: an unknown, repeated or differently cased key is refused. Every error
// is {"error": {"code": …, "message": …}}.
//
// Other packages add their operations the same way: api.Register(server, api.Operator,
// huma.Operation{…}, handler).
package api
