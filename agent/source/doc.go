// Package source brings readings into the agent: from an MQTT broker, over HTTP, and from files
// for a replay.
//
// A [Plan] is compiled from the task files: the device's series, the topic filters to subscribe
// to and what to extract from which payload. A [Decoder] turns one payload into readings,
// in whatever form the field's senders write it: a flaw costs the value it stands in, never the
// values beside it. What a value was read in spite of is in [Reading.Forgiven]; what cannot mean one
// thing only becomes a [DecodeError] that names the topic, the path, the value and what is allowed.
// [Inputs] counts both for every series. docs/guides/inputs.md lists the forms.
//
// [Client] promises, towards the broker: a fixed client id and a persistent session,
// subscriptions restored at every connection, messages handed to the [Sink] in arrival order, and
// no PUBACK before the sink has called the message's Ack. A message that can never become a
// reading is acknowledged, counted and logged, so that it does not block the ones behind it.
package source
