package doctor

import "syscall"

// clockSynced asks the kernel whether somebody disciplines its clock (adjtimex(2)).
func clockSynced() (synced, known bool) {
	const timeError = 5
	state, err := syscall.Adjtimex(&syscall.Timex{})
	return err == nil && state != timeError, err == nil
}
