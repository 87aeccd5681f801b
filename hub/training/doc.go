// Package training decides when to learn, builds the rows, runs model selection and hands a
// better model to a rollout.
//
// Triggers are coalesced per task: enough labels for a first model; drift reported by devices,
// several or more, with a minimum of new labels and a cool-down in event time; a number of new
// labels; a schedule in event time; a command. A trigger becomes a job in the database; one
// worker takes jobs in order, and a job that a restart interrupted begins again.
//
// Training rows are built by the same engine that runs on the devices, from the readings in the
// order the devices accepted them: what a model is trained on is what it will be shown. A
// challenger is judged on rows newer than the champion's training data; only one that passes is
// rolled out, and it is exactly the artifact that was judged.
package training
