// Package rig runs the real programs for the demonstration and for the tests: skerry-hub and
// skerry-agent as processes of their own, an MQTT broker on loopback, TCP proxies that stand for
// a site's link, and a client of the hub's REST API.
package rig
