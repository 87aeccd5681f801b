package device

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/govern"
	"skerry.dev/agent/models"
	"skerry.dev/agent/serve"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/configs"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/link"
	"skerry.dev/sync/spec"
)

// Options of a device.
type Options struct {
	Config    *configs.AgentConfig
	Version   string
	Heartbeat func()                      // the service manager's watchdog; nil: none
	Reload    <-chan os.Signal            // each has the task files read again; nil: none
	Ready     func()                      // called once predictions can be made; nil: nothing
	Check     func(path string) error     // see cache.Options
	Salvage   func(from, to string) error // see cache.Options
	NATS      []string                    // replaces the addresses of the enrolment, for a relay
	Log       *slog.Logger
}

// Device is the assembled agent. Use Open, Run, Close.
type Device struct {
	opts  Options
	cfg   *configs.AgentConfig
	log   *slog.Logger
	name  string
	site  string
	store *cache.Store
	id    *identity.Identity // nil without an enrolment

	noHub   string // why an enrolment that was there cannot be used
	noTrust string // why no model can be checked

	web    *http.Client // for the hub
	hubTLS *tls.Config  // nil: the system's roots

	runtime *task.Runtime
	manager *update.Manager
	models  *models.Models
	client  *source.Client
	ingest  *source.Ingest
	inputs  *source.Inputs

	happenings chan happened
	link       *link.Link
	server     *serve.Server
	stream     *serve.Stream
	host       *govern.Governor
	metrics    *prometheus.Registry

	reloading sync.Mutex                   // one change of the tasks at a time
	files     atomic.Pointer[[]*spec.Task] // as they were read, with templates
	captures  *captures
	names     *Names
	origins   *origins

	tasks    atomic.Pointer[[]*spec.Task]
	beat     atomic.Int64 // unix nanoseconds of the runtime's last heartbeat
	ready    atomic.Bool
	declared atomic.Bool            // what damage has lost was declared
	held     atomic.Bool            // the hub takes this device for a copy of another, or its original
	badFile  atomic.Pointer[string] // why the task files on disk are not in force
	noPages  atomic.Pointer[string] // why there are no local pages
	began    time.Time
}

// Close releases the cache. It may be called twice.
func (d *Device) Close() error {
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

// Tasks returns the tasks in force.
func (d *Device) Tasks() []*spec.Task { return *d.tasks.Load() }

// Ready implements serve.Status.
func (d *Device) Ready() (bool, string) {
	if !d.ready.Load() {
		return false, "starting"
	}
	return true, ""
}

// Alive implements serve.Status.
func (d *Device) Alive() (bool, string) {
	last := d.beat.Load()
	if since := time.Since(time.Unix(0, last)); last != 0 && since > 15*time.Second {
		return false, fmt.Sprintf("no prediction loop for %s", since.Round(time.Second))
	}
	return true, ""
}

// Links implements serve.Status.
func (d *Device) Links() map[string]bool {
	m := map[string]bool{}
	if d.client != nil {
		m["mqtt"] = d.client.Connected()
	}
	if d.link != nil {
		m["hub"] = d.link.Up()
	}
	return m
}

// Trusted reports whether a clock that shows now can be right: it is the one rule for the running
// agent, which marks times of any other clock, and for doctor.
func Trusted(now time.Time) bool { return now.After(BuiltAfter) }

func trusted() bool { return Trusted(time.Now()) }

func clock() (int64, bool) { return time.Now().UnixMicro(), trusted() }

// BuiltAfter is a time that every right clock is past: a box without a real-time clock starts in
// 1970.
var BuiltAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
