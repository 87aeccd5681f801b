// Package loop tests the whole loop with the real programs: skerry-hub and skerry-agent as
// processes, a real broker (mosquitto where it is installed), kills, cuts, bursts, damage and
// models that must not win. Every test has ports and folders of its own.
package loop
