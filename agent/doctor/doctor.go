package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/agent/device"
	"skerry.dev/agent/govern"
	"skerry.dev/configs"
	"skerry.dev/sync/identity"
)

// Status is the outcome of a check.
type Status string

// The outcomes. Only Fail keeps the agent from doing its work.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Result is one line of the report.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Action string `json:"action,omitempty"` // what to do; empty when all is well
}

// Options defines where things are.
type Options struct {
	TaskDir      string
	StateDir     string
	IdentityDir  string
	Listen       string // of the running agent's pages, host:port; empty: it is not asked
	Broker       string
	Username     string
	Password     string
	TLS          *tls.Config // for tls:// brokers
	Device       string      // for the probe topic; empty: from the enrolment
	CommitAcks   int         // PUBACKs the agent collects before it commits
	HubURL       string      // overrides the enrolment's
	HTTP         *http.Client
	MinFreeBytes int64
	MinFreeShare float64
	Timeout      time.Duration // of one check, default 10 s
}

// Run makes every check, in the order of the report.
func Run(ctx context.Context, o Options) []Result {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: o.Timeout}
	}
	id, idErr := identity.Open(o.IdentityDir, identity.Options{HTTP: o.HTTP, Hub: o.HubURL})
	if o.Device == "" && id != nil {
		o.Device = id.Device()
	}
	var out []Result
	for _, check := range []func(context.Context) []Result{
		func(context.Context) []Result { return tasks(o.TaskDir, o.StateDir) },
		func(ctx context.Context) []Result { return broker(ctx, o) },
		func(context.Context) []Result { return []Result{clock(time.Now())} },
		func(context.Context) []Result { return disk(o) },
		func(context.Context) []Result { return keys(id, idErr, time.Now()) },
		func(ctx context.Context) []Result { return hub(ctx, o, id) },
		func(ctx context.Context) []Result { return running(ctx, o) },
	} {
		c, cancel := context.WithTimeout(ctx, o.Timeout)
		out = append(out, check(c)...)
		cancel()
	}
	return out
}

// Failed reports whether any check failed.
func Failed(rs []Result) bool {
	return slices.ContainsFunc(rs, func(r Result) bool { return r.Status == Fail })
}

// WriteTable writes the report for people.
func WriteTable(w io.Writer, rs []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rs {
		fmt.Fprintf(t, "%s\t%s\t%s\n", strings.ToUpper(string(r.Status)), r.Check, r.Detail)
		if r.Action != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", r.Action)
		}
	}
	return t.Flush()
}

// WriteJSON writes the report for programs.
func WriteJSON(w io.Writer, rs []Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		OK      bool     `json:"ok"`
		Results []Result `json:"results"`
	}{!Failed(rs), rs})
}

// running asks the running agent what it finds wrong with its inputs, its broker and itself: it sees
// what no check from outside can.
func running(ctx context.Context, o Options) []Result {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, port)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/health", nil)
	if err != nil {
		return nil
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return []Result{{"agent", Warn, "does not answer on " + at + ": it is not running, or has no pages", "start it: skerry-agent run, or the service"}}
	}
	defer res.Body.Close()
	var h struct{ Reasons []string }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&h); err != nil || res.StatusCode != http.StatusOK {
		return []Result{{"agent", Warn, "what answers on " + at + " is no agent", "set http.listen to a free address"}}
	}
	if len(h.Reasons) == 0 {
		return []Result{{"agent", OK, "runs, and finds nothing wrong", ""}}
	}
	var out []Result
	for _, r := range h.Reasons {
		out = append(out, Result{"agent", Warn, r, "do what it says; skerry-agent status shows each input"})
	}
	return out
}

func tasks(dir, state string) []Result {
	ts, err := device.LoadTasks(dir, state)
	names, _ := device.ReadNames(state) // what is wrong with them the agent reports
	if err == nil {
		_, _, err = device.Plan(ts, names)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []Result{{"tasks", Fail, err.Error(), "create the directory (task_dir) and put a task file into it"}}
	case err != nil:
		return []Result{{"tasks", Fail, strings.ReplaceAll(err.Error(), "\n", "; "), "correct the task files; skerry-agent task check shows every problem"}}
	case len(ts) == 0:
		return []Result{{"tasks", Warn, "no task files in " + dir, "put a task file there: without one nothing is predicted"}}
	}
	found := make([]string, len(ts))
	for i, t := range ts {
		found[i] = t.Name
	}
	out := []Result{{"tasks", OK, strings.Join(found, ", "), ""}}
	for _, note := range names.Notes(ts) {
		out = append(out, Result{"tasks", Warn, note, "nothing, where the new name does; the hub and /metrics show it"})
	}
	for _, note := range device.Odd(ts) {
		out = append(out, Result{"tasks", Warn, note, "nothing, where that is meant"})
	}
	return out
}

func clock(now time.Time) Result {
	if !device.Trusted(now) {
		return Result{"clock", Fail, "the clock is at " + now.UTC().Format(time.RFC3339), "set it, or let it be set by NTP: until then times of arrival are marked as not trusted, and certificates may be refused"}
	}
	synced, known := clockSynced()
	switch {
	case !known:
		return Result{"clock", OK, now.UTC().Format(time.RFC3339) + "; this system does not tell whether it is synchronised", ""}
	case !synced:
		return Result{"clock", Warn, now.UTC().Format(time.RFC3339) + ", not synchronised", "run an NTP client (systemd-timesyncd, chrony): the agent takes a clock past " + device.BuiltAfter.Format(time.DateOnly) + " for right, so times of arrival are off by as much as it is, and senders with the right time may pass for ones of the future"}
	}
	return Result{"clock", OK, now.UTC().Format(time.RFC3339) + ", synchronised", ""}
}

// slowSync is what one fsync may take before commits of the agent are felt.
const slowSync = 100 * time.Millisecond

func disk(o Options) []Result {
	if info, err := os.Stat(o.StateDir); err != nil || !info.IsDir() {
		return []Result{{"disk", Fail, fmt.Sprintf("state directory %s is not there", o.StateDir), "start the installed service once, or create it for the agent's user, or set state_dir"}}
	}
	var out []Result
	switch free, total, err := govern.Disk(o.StateDir); {
	case err != nil:
		out = append(out, Result{"disk space", Warn, err.Error(), ""})
	default:
		detail := fmt.Sprintf("%d MiB of %d MiB free at %s", free>>20, total>>20, o.StateDir)
		if reason := govern.DiskReason(free, total, o.MinFreeBytes, o.MinFreeShare); reason != "" {
			out = append(out, Result{"disk space", Warn, detail, "free some: " + reason})
		} else {
			out = append(out, Result{"disk space", OK, detail, ""})
		}
	}
	median, longest, err := syncLatency(o.StateDir)
	detail := fmt.Sprintf("fsync takes %s, at worst %s", median.Round(10*time.Microsecond), longest.Round(10*time.Microsecond))
	switch {
	case err != nil:
		out = append(out, Result{"disk write", Fail, err.Error(), "let the agent's user write state_dir; remount the file system if it is read-only"})
	case median > slowSync:
		out = append(out, Result{"disk write", Warn, detail, "use a faster disk or card, or raise cache.commit_interval"})
	default:
		out = append(out, Result{"disk write", OK, detail, ""})
	}
	return out
}

// syncLatency measures write and fsync of 4 KiB, twenty times or for two seconds.
func syncLatency(dir string) (median, longest time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4096)
	var took []time.Duration
	for began := time.Now(); len(took) < 20 && time.Since(began) < 2*time.Second; {
		start := time.Now()
		if _, err = f.Write(block); err != nil {
			return 0, 0, err
		}
		if err = f.Sync(); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1], nil
}

func keys(id *identity.Identity, err error, now time.Time) []Result {
	switch {
	case errors.Is(err, identity.ErrNotEnrolled):
		return []Result{{"keys", Warn, "not enrolled: the agent works alone", "skerry-agent enroll --hub <address> --token <token>"}}
	case err != nil:
		return []Result{{"keys", Warn, err.Error(), "do what it says, and restart the agent: until then it predicts without the hub"}}
	}
	who := fmt.Sprintf("%s at %s", id.Device(), id.Site())
	exp, ok := id.Expiry()
	switch {
	case !ok:
		return []Result{{"keys", Warn, who + ", the credential does not say when it ends", "enrol again when the hub refuses it"}}
	case now.After(exp):
		return []Result{{"keys", Warn, fmt.Sprintf("%s, the credential ended %s ago", who, now.Sub(exp).Round(time.Minute)), "nothing if the box was offline: a running agent renews it when the hub can be reached"}}
	}
	return []Result{{"keys", OK, fmt.Sprintf("%s, credential for another %s", who, exp.Sub(now).Round(time.Minute)), ""}}
}

// maxSkew is the difference between the clocks of box and hub that is not worth a word.
const maxSkew = 5 * time.Second

func hub(ctx context.Context, o Options, id *identity.Identity) []Result {
	base := o.HubURL
	if base == "" && id != nil {
		base = id.Hub()
	}
	if base == "" {
		return []Result{{"hub", OK, "none configured: the agent works alone", ""}}
	}
	out := []Result{hubHealth(ctx, o, strings.TrimRight(base, "/"))}
	if id == nil {
		return out
	}
	return append(out, hubLink(ctx, o, id))
}

func hubHealth(ctx context.Context, o Options, base string) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return Result{"hub", Fail, err.Error(), "correct hub.url"}
	}
	start := time.Now()
	res, err := o.HTTP.Do(req)
	if err != nil {
		return Result{"hub", Warn, err.Error(), advice(err, hubKeys) + "; predictions go on without the hub, and nothing is lost until the cache is full"}
	}
	defer res.Body.Close()
	took := time.Since(start)
	detail := fmt.Sprintf("%s answers in %s", configs.Redacted(base), took.Round(10*time.Microsecond))
	if res.StatusCode != http.StatusOK {
		return Result{"hub", Warn, fmt.Sprintf("%s/health answers HTTP %d", configs.Redacted(base), res.StatusCode), "look at the hub"}
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		// The header has whole seconds and was written at some moment of the request.
		if skew := start.Add(took / 2).Sub(at).Round(time.Second); skew.Abs() > maxSkew {
			return Result{"hub", Warn, fmt.Sprintf("%s; this clock is %s off the hub's", detail, skew), "synchronise both clocks"}
		}
	}
	return Result{"hub", OK, detail, ""}
}

// redacted lists addresses without their secrets.
func redacted(urls []string) string {
	out := make([]string, len(urls))
	for i, u := range urls {
		out[i] = configs.Redacted(u)
	}
	return strings.Join(out, ", ")
}

func hubLink(ctx context.Context, o Options, id *identity.Identity) Result {
	urls := id.NATS()
	if len(urls) == 0 {
		return Result{"hub link", Warn, "the enrolment names no server", "enrol again"}
	}
	timeout := o.Timeout
	if d, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(d)), 100*time.Millisecond)
	}
	// The agent's own connection stays: a NATS server takes several of one user.
	nc, err := nats.Connect(strings.Join(urls, ","), append(id.Options(), nats.Timeout(timeout), nats.MaxReconnects(0), nats.Name("skerry-agent doctor"))...)
	switch {
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired):
		return Result{"hub link", Fail, err.Error(), "the credential is refused: revoked at the hub, or expired while the box was away; start the agent to renew it, else enrol again"}
	case err != nil:
		return Result{"hub link", Warn, fmt.Sprintf("%s: %v", redacted(urls), err), "let the box reach this address and port (outgoing only)"}
	}
	defer nc.Close()
	rtt, err := nc.RTT()
	if err != nil {
		return Result{"hub link", Warn, err.Error(), "look at the network"}
	}
	return Result{"hub link", OK, fmt.Sprintf("%s, round trip %s", nc.ConnectedUrlRedacted(), rtt.Round(10*time.Microsecond)), ""}
}
