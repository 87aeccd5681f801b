// Package device assembles the agent: cache, tasks, MQTT, models, hub link and HTTP, in the order
// in which they depend on each other.
//
// Without an enrolment the agent works alone: it predicts by its baselines and keeps everything.
// Nothing here decides anything; each part is explained where it lives.
package device
