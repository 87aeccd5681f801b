// Package update brings artifacts to the tasks of a device: it is the device's side of a rollout.
//
// For every task it takes the newest assignment of the desired state through its phases (see
// spec.Phase): download with resume to slots/<digest>.part, check against the signed metadata,
// hash and load from one open file, shadow, probation, active. A trial that goes wrong ends in
// vetoed or reverted, with a reason, and needs no hub: the model before comes back by itself.
//
// Kept across restarts: slots/state.json (what is assigned and active), floors.json (the newest
// generation seen, in a file of its own, so that losing the rest does not let an old document
// back in) and the artifacts themselves: active, previous and candidate. A counter is stored
// before an artifact is loaded; an artifact that three starts in a row did not survive is given
// up for the one before it, or for the baselines.
package update
