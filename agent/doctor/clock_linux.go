package doctor

import "syscall"

// clockSynced reads from the kernel whether its clock is disciplined (adjtimex(2)).
func clockSynced() (synced, known bool) {
	const timeError = 5
	state, err := syscall.Adjtimex(&syscall.Timex{})
	return err == nil && state != timeError, err == nil
}
