// Package field drives the real agent, and the real hub where it has a part, against a real broker
// with what people who do this job have: payloads of their firmware, brokers behind a proxy, many
// devices behind one wildcard, sensors that die, boxes that were cloned. Each test says what is
// right in the words of a user.
package field
