// Package serve is the agent's HTTP side: health, metrics, tasks, a live stream, inference and
// one local page, all without a network beyond the box.
//
// It listens on the loopback interface by default and has no access control: whoever reaches it
// may read everything and send readings. Requests that change something are refused when a
// browser sends them for another site. The server holds no state; it reads a [Status] and forwards
// a [Stream].
package serve
