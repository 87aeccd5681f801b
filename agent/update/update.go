package update

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"skerry.dev/sync/spec"
)

// Model is a loaded artifact, opaque to this package.
type Model any

// Loader loads an artifact and runs its self-test. It must not keep r.
type Loader interface {
	Load(r io.ReaderAt, size int64) (Model, error)
}

// Verifier reads the signed metadata.
type Verifier interface {
	// Refresh brings the metadata up to date. An error means that nothing may be installed now.
	Refresh(ctx context.Context) error
	// Target returns what is signed about a path.
	Target(path string) (length int64, sha256 string, custom []byte, err error)
}

// Engine runs the models of the tasks. Calls for one task come one at a time.
type Engine interface {
	// Shadow runs m beside the task's champion, its output discarded. Its trial begins anew,
	// unless the same digest is the shadow already.
	Shadow(ctx context.Context, task string, m Model, digest string) error
	// Activate makes the shadow of this digest the champion and keeps the champion before it
	// running beside it, for Probation. Digest "" makes the baselines the champion.
	Activate(ctx context.Context, task, digest string) error
	// Restore makes m the champion without a trial: at start, and when a device goes back.
	Restore(ctx context.Context, task string, m Model, digest string) error
	// Drop stops the shadow of this digest, or what runs beside the champion on probation.
	Drop(ctx context.Context, task, digest string) error
	// Trial returns what the shadow has measured so far, false when there is none.
	Trial(task string) (spec.Paired, bool)
	// Probation returns the same of the new champion (candidate) against the one before it
	// (incumbent), since the activation.
	Probation(task string) (spec.Paired, bool)
	// Faulted returns how many predictions the task has made and how many of its champion's had no
	// finite value, since some time in the past; ok is false while the task does not run.
	Faulted(task string) (rows, faulted int64, ok bool)
}

// Recoverer is implemented by engines that bring their models back by themselves after a start;
// Restore then leaves alone what already runs.
type Recoverer interface {
	// Running returns the digest of the champion ("" for the baselines), and of the model beside
	// it: the shadow, or on probation the champion before ("" for none).
	// ok is false while the task does not run.
	Running(task string) (champion, beside string, ok bool)
}

// Event reports a step of an assignment.
type Event struct {
	Task    string
	Phase   spec.Phase
	Digest  string
	Version string
	Rollout string
	Reason  string
}

// Options of a Manager.
type Options struct {
	Dir       string // of the artifacts and state.json
	FloorFile string
	URL       func(digest string) string // of an artifact
	Authorize func(*http.Request)        // adds the device's credential to a download; nil: none
	// default: one without an overall timeout; the least rate bounds a download
	HTTP *http.Client
	// bytes per second that a download must reach on average over Window, default 100
	MinRate int64
	Window  time.Duration // default 30 s
	Tick    time.Duration // how often trials are looked at, default 1 s
	// first wait after a failed download, refresh or write of the state, doubled up to 5 min (for
	// room and the state: 30 s); default 2 s
	Retry time.Duration
	// Free returns the bytes that are free where Dir is. A download begins only when it leaves
	// MinFree of them, and is given up where other writers come nearer; nil: not looked at.
	Free func() (uint64, error)
	// MinFree is left to the readings, default 16 MiB: what the device's database grows by at once.
	MinFree int64
	Now     func() time.Time // with the zone of the device; default time.Now
	Events  func(Event)      // called without locks, in order per task
	Log     *slog.Logger
}

// maxTries bounds starts with a model that were not confirmed, loads that did not finish, and
// downloads whose content was wrong.
const maxTries = 3
