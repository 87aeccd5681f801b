// Package configs loads, layers, checks and explains the configuration of agent and hub.
//
// A value comes from the first of these that has it: a flag (--set key=value), the environment,
// the YAML file, the default. Every key has the environment variable SKERRY_ plus its path in
// capitals ("mqtt.broker" is SKERRY_MQTT_BROKER); some have a second, shorter name. Files are
// read strictly: an unknown or duplicate key, a value of the wrong type or outside its range is
// an error that names key, line and what is allowed, and all problems are reported together. The
// sample files beside this package hold every key with its default.
//
// A key that has lost its effect is retired, not removed: a file of an earlier release is still
// read, and its [Setting] reports what became of the key.
package configs
