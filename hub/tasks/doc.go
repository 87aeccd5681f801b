// Package tasks holds the rules by which the hub's definitions of tasks come about. A definition is
// the task file that the hub trains by; it belongs to the hub and not to any one device.
//
// What a device reports is a proposal. The first device that reports a task defines it. From then
// on a task file that means the same counts as the task, and one that means something else is a
// difference: it is kept with the device, shown with the task and raised as an alarm, and it
// changes nothing. Such a device is left out of the task's trainings and rollouts. A definition that
// came from devices gives way when every device that reports the task reports one and the same
// other file, as when the owner of the devices has changed it everywhere; one that a person has set
// gives way to nobody.
//
// A person with the role engineer sets and removes definitions. A removed task stays removed however
// often a device reports it.
//
// The number of tasks is bounded, in all and of one device. What is beyond is left out and raised
// as an alarm of the device.
package tasks
