// Package source brings readings into the agent: from an MQTT broker, over HTTP, and from files
// for a replay.
//
// A [Plan] is compiled from the task files: the device's series, the topic filters to subscribe
// to and what to extract from which payload. A [Decoder] turns one payload into readings,
// strictly: JSON that is malformed, has a duplicate key, a number outside float64 or a value of
// the wrong type becomes a [DecodeError] that names the topic, the path, the value and what is
// allowed. Malformed documents are refused as a whole; one wrong value costs only its own
// reading.
//
// [Client] promises, towards the broker: a fixed client id and a persistent session,
// subscriptions restored at every connection, messages handed to the [Sink] in arrival order, and
// no PUBACK before the sink has called the message's Ack. A message that can never become a
// reading is acknowledged, counted and logged, so that it does not block the ones behind it.
package source
