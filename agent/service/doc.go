// Package service installs the agent as a service of its machine and controls it through the
// service manager.
//
// On Linux with systemd it writes its own unit: type notify with a watchdog that the loop which
// predicts has to feed, a state directory, a dynamic user and a sandbox. Elsewhere (launchd,
// Windows, OpenRC, SysV) kardianos/service writes what is usual there.
package service
