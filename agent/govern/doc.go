// Package govern watches what the agent and its host use: telemetry for the hub, a guard over the
// disk, and the bounds of memory and processors.
//
// A measurement that the host does not offer (temperature in a virtual machine, load on Windows)
// is left out, never guessed.
package govern
