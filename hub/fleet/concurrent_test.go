package fleet_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nkeys"
	"golang.org/x/sync/errgroup"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/identity"
)

// TestConcurrentEnrolment enrols 500 devices at one time, at two hubs where the database has room
// for two, with an audited action beside each: none fails and the audit chain is unbroken.
func TestConcurrentEnrolment(t *testing.T) {
	const devices = 500
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		ctx := t.Context()
		db := d.Open(t)
		b := bustest.Open(t, t.TempDir())
		hubs := []*fleet.Fleet{fleet.New(db, b.Bus, b.Ring, fleet.Options{Hub: "h1"})}
		if d.Shared {
			hubs = append(hubs, fleet.New(d.Open(t), b.Bus, b.Ring, fleet.Options{Hub: "h2"}))
		}
		var g errgroup.Group
		for i := range devices {
			f := hubs[i%len(hubs)]
			g.Go(func() error {
				key, err := nkeys.CreateUser()
				if err != nil {
					return err
				}
				pub, err := key.PublicKey()
				if err != nil {
					return err
				}
				name := fmt.Sprintf("pump-%d", i)
				secret, _, err := f.CreateToken(ctx, "ada", name, "north", "", 0)
				if err != nil {
					return err
				}
				other := hubs[(i+1)%len(hubs)] // a token is good at any hub
				_, err = other.Enroll(ctx, name, identity.EnrollRequest{Token: secret, PublicKey: pub})
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		q := db.Read()
		if err := q.VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
		entries, err := q.AuditEntries(ctx, 0, 0)
		if err != nil || len(entries) != 2*devices {
			t.Errorf("%d audit entries, %v, want %d", len(entries), err, 2*devices)
		}
		if all, err := q.Devices(ctx, "", "", 0); err != nil || len(all) != devices {
			t.Errorf("%d devices, %v, want %d", len(all), err, devices)
		}
	})
}
