// Package training decides when to learn and what to do with the result: package learn builds rows,
// challenger and verdict, and a better model goes to a rollout.
//
// Triggers are coalesced per task: enough labels for a first model, and as long as none is in force
// again at half as many more, at a fifth more where the devices' errors drift; for a task with a
// model twice the labels of the last training; drift reported by devices, several or more, with a
// minimum of new labels and a cool-down in event time; a number of new labels; a schedule in event
// time; a command. A trigger becomes a job in the database; one worker takes jobs in order, and a
// job that a restart interrupted begins again.
//
// Only a challenger that passes against the champion, or against the baseline where there is none,
// is rolled out, and it is exactly the artifact that was judged.
package training
