package meta_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestIsDataError holds which errors are for the values of a statement and which are not.
func TestIsDataError(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db := d.Open(t)
		put := func(name string) error {
			return db.Tx(t.Context(), func(q *meta.Queries) error {
				return q.InsertDevice(t.Context(), meta.Device{Name: name, PublicKey: "key of " + name})
			})
		}
		if err := put("a"); err != nil {
			t.Fatal(err)
		}
		long := make([]byte, 20_000) // which does not compress
		for i := range long {
			long[i] = 'a' + byte(rand.IntN(26))
		}
		refused := map[string]string{"a key that is there": "a"}
		if d.Shared {
			refused["a NUL"], refused["invalid UTF-8"], refused["a key of 20 kB"] = "b\x00", "\xff", string(long)
		}
		for what, name := range refused {
			if err := put(name); err == nil || !meta.IsDataError(fmt.Errorf("wrapped: %w", err)) {
				t.Errorf("IsDataError of %s (%v) = false", what, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{nil, meta.ErrNotFound, errors.New("23505"), put("b")} {
			if meta.IsDataError(err) {
				t.Errorf("IsDataError(%v) = true", err)
			}
		}
	})
}
