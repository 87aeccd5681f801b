package ingest

import (
	"encoding/json"
	"fmt"
	"slices"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// maxName bounds every text that names something, in bytes: a task, a kind, a metric, a digest.
// Such texts are keys of indexes, where PostgreSQL takes less than 2.7 KiB of all columns together;
// what an agent sends has at most 127.
const maxName = 255

// checkName reports why a text cannot name something in the database, on whichever: SQLite alone
// would take more.
func checkName(what, s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%s %.32q… has %d bytes: at most %d are allowed", what, s, len(s), maxName)
	}
	if err := meta.CheckText(s); err != nil {
		return fmt.Errorf("%s %q %w", what, s, err)
	}
	return nil
}

// checkNames checks texts, each behind what it is.
func checkNames(pairs ...string) error {
	for p := range slices.Chunk(pairs, 2) {
		if err := checkName(p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}

// readState decodes a reported state and checks that it can be stored as a whole: its names by
// their rules, its other texts for what no column of text takes.
func readState(s State) (*spec.Reported, error) {
	var r spec.Reported
	if err := json.Unmarshal(s.Data, &r); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if r.Device != s.Device {
		return nil, fmt.Errorf("state of device %.64q sent by %q", r.Device, s.Device)
	}
	if err := meta.CheckJSON(s.Data); err != nil {
		return nil, fmt.Errorf("a text of the document %w", err)
	}
	if err := checkNames("version", r.Version, "class", r.Class); err != nil {
		return nil, err
	}
	for name, t := range r.Tasks {
		if !spec.ValidName(name) {
			return nil, fmt.Errorf("task %.64q: not a valid name", name)
		}
		if err := checkNames("kind", t.Kind, "hash", t.SpecHash); err != nil {
			return nil, fmt.Errorf("task %q: %w", name, err)
		}
	}
	return &r, nil
}

// checkHello reports why a hello cannot be stored.
func checkHello(h wire.Hello) error {
	if err := checkName("version", h.Version); err != nil {
		return err
	}
	for _, r := range h.Runs {
		if err := checkName("boot_id", r.BootID); err != nil {
			return fmt.Errorf("run %s: %w", r.Run, err)
		}
	}
	return nil
}

// checkRecords reports the first record of a chunk whose texts cannot be stored. The detail of an
// event is no name: it is stored as JSON, whatever it holds.
func checkRecords(r *wire.Records) error {
	for n := range r.Readings {
		if err := checkName("series", r.Readings[n].Series); err != nil {
			return fmt.Errorf("reading %d: %w", n, err)
		}
	}
	for n := range r.Labels {
		l := &r.Labels[n]
		if err := checkNames("task", l.Task, "champion", l.ChampionID, "candidate", l.ShadowID); err != nil {
			return fmt.Errorf("label %d: %w", n, err)
		}
	}
	for n := range r.Predictions {
		p := &r.Predictions[n]
		if err := checkNames("task", p.Task, "model", p.Model); err != nil {
			return fmt.Errorf("prediction %d: %w", n, err)
		}
	}
	for n := range r.Events {
		e := &r.Events[n]
		err := checkNames("kind", e.Kind, "task", e.Task)
		if err == nil && e.Kind == wire.GapKind {
			err = checkGap(e.Detail)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
	}
	for n := range r.Hosts {
		if err := checkName("metric", r.Hosts[n].Metric); err != nil {
			return fmt.Errorf("host value %d: %w", n, err)
		}
	}
	return nil
}

// checkGap reports a text of a declared gap that cannot be stored. What is no gap at all is stored
// as an event and raises an alarm.
func checkGap(detail string) error {
	var g wire.Gap
	if json.Unmarshal([]byte(detail), &g) != nil {
		return nil
	}
	if err := checkName("reason", g.Reason); err != nil {
		return err
	}
	for name := range g.Series {
		if err := checkName("series", name); err != nil {
			return err
		}
	}
	return nil
}
