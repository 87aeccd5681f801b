// Package training decides when to learn and what to do with the result: package learn builds rows,
// challenger and verdict, and a better model goes to a rollout.
//
// A champion that is tombstoned, removed, damaged or does not fit the task file any longer counts as
// none. It holds up no training, and its loss starts one.
//
// Triggers are coalesced per task: enough labels for a first model, and as long as none is in force
// again at a quarter more, at a tenth more where the devices' errors drift; for a task with a model
// twice the labels of the last training; drift reported by devices, several or more, with a minimum
// of new labels and a cool-down in event time; a number of new labels; a schedule in event time; a
// command. A trigger becomes a job in the database, one at a time for each task; one worker takes
// jobs in order, and a job that a restart interrupted begins again. What failed is tried again after
// a minute, and twice as long each time up to six hours.
//
// Only a challenger that passes against the champion, or against the baselines where there is none,
// is rolled out. One that passes while its task has a rollout waits for its end; it is dropped when
// it is out of date by then, and judged again when the champion is another.
package training
