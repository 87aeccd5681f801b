package device

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// enrolledAs is what the device was enrolled as when it ran last, kept in a file of the state
// directory: topics and records go on under its name when the enrolment cannot be used.
type enrolledAs struct {
	Device string `json:"device"`
	Site   string `json:"site"`
}

func (d *Device) namePath() string { return filepath.Join(d.cfg.StateDir, "name.json") }

// lastEnrolled returns what the device was enrolled as, nothing where that is not known.
func (d *Device) lastEnrolled() (as enrolledAs) {
	b, err := os.ReadFile(d.namePath())
	if err != nil || json.Unmarshal(b, &as) != nil || !as.valid() {
		return enrolledAs{}
	}
	return as
}

func (e enrolledAs) valid() bool { return spec.ValidName(e.Device) && spec.ValidName(e.Site) }

// keepEnrolled notes what the device is enrolled as.
func (d *Device) keepEnrolled(as enrolledAs) {
	if as == d.lastEnrolled() {
		return
	}
	b, err := json.Marshal(as)
	if err == nil {
		err = identity.WriteFile(d.namePath(), append(b, '\n'))
	}
	if err != nil {
		d.log.Warn("the name is not kept beside the enrolment: without that it is not known", "err", err)
	}
}

// identify finds the device's name and site: those of the enrolment, else those that it had before,
// else the host's. Only the hub needs an enrolment, so that a damaged one keeps nothing else from
// running. It reports false where records in the store may know the name better.
func (d *Device) identify() bool {
	id, err := identity.Open(d.cfg.IdentityDir(), identity.Options{HTTP: d.web, Version: d.opts.Version})
	if err == nil {
		d.id, d.name, d.site = id, id.Device(), id.Site()
		d.keepEnrolled(enrolledAs{d.name, d.site})
		return true
	}
	var as enrolledAs
	damaged, isDamaged := errors.AsType[*identity.DamagedError](err)
	if isDamaged {
		as = enrolledAs{damaged.Device, damaged.Site}
	}
	if !as.valid() {
		as = d.lastEnrolled()
	}
	if d.name, d.site = as.Device, as.Site; !as.valid() {
		host, _ := os.Hostname()
		d.name, d.site = spec.NameFrom(host), "local"
	}
	switch {
	case isDamaged:
		d.noHub = err.Error()
	case as.valid():
		d.noHub = err.Error() + ", or put " + d.cfg.IdentityDir() + " back from a backup, or remove " + d.namePath() + " where it is to work alone, under its host's name"
	}
	return as.valid() || !isDamaged
}

// tellIdentity logs under which name a device without an enrolment runs.
func (d *Device) tellIdentity() {
	switch {
	case d.noHub != "":
		d.log.Error("no hub: predicting and keeping everything on this device", "device", d.name, "err", d.noHub)
	case d.id == nil:
		d.log.Warn("not enrolled: predicting and keeping everything on this device", "device", d.name)
	}
}

// identityReasons reports what is wrong with the enrolment and the root of trust.
func (d *Device) identityReasons() (out []string) {
	if d.noHub != "" {
		out = append(out, "no link to the hub, though this device was enrolled: "+d.noHub+"; then restart the agent. It predicts without the hub meanwhile, as "+d.name+", and keeps what the hub has not got")
	}
	if d.noTrust != "" {
		out = append(out, "no model is installed: "+d.noTrust+"; then restart the agent")
	}
	return out
}
