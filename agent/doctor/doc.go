// Package doctor checks everything an agent needs and reports what to do about what is wrong: task
// files, broker, clock, disk, keys and hub.
//
// Each check stands alone and is bounded in time, so that a report comes on a box without a
// broker, a hub or an enrolment. The checks change nothing: the broker is probed on a topic of
// its own with a session that is removed afterwards.
package doctor
