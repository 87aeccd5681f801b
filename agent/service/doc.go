// Package service installs the agent as a service of its machine and controls it through the
// service manager.
//
// On Linux with systemd it writes its own unit: type notify with a watchdog that the loop which
// predicts has to feed, a state directory, a dynamic user and a sandbox. Elsewhere (launchd,
// Windows, OpenRC, SysV) kardianos/service writes what is usual there; on Linux only when that is
// asked for, because it has no sandbox.
//
// [Problems] looks through the eyes of the service before anything is written: a unit that cannot
// start, because the sandbox hides the program or its user may not read the configuration, is found
// at the installation and not after the next boot.
package service
