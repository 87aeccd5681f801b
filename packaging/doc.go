// Package packaging holds what goes onto a machine beside the programs: the systemd units. Its
// test holds the agent's unit to what `skerry-agent install` writes.
package packaging
