package meta

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// bulkRows is how many rows one statement takes. SQLite allows 32,766 parameters, PostgreSQL
// 65,535; more than a hundred rows save nothing.
const bulkRows = 100

// insertMany writes rows with as few statements as their number allows; suffix is appended to
// each, for example an ON CONFLICT clause.
func insertMany[T any, P row[T]](ctx context.Context, q *Queries, table, cols, suffix string, rows []T) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), bulkRows)]
		rows = rows[len(part):]
		var args []any
		var b strings.Builder
		fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", table, cols)
		for i := range part {
			args = append(args, P(&part[i]).dest()...)
		}
		q.tuples(&b, len(part), len(args)/len(part))
		b.WriteString(" ")
		b.WriteString(suffix)
		if _, err := q.exec(ctx, b.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

// tuples writes the parameters of n rows of the given width: ($1,$2),($3,$4), or (?,?),(?,?) for
// SQLite, to which $1 is a name that it looks up among all names before it, for every parameter.
func (q *Queries) tuples(b *strings.Builder, n, width int) {
	p := 0
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j := range width {
			if j > 0 {
				b.WriteByte(',')
			}
			p++
			q.parameter(b, p)
		}
		b.WriteByte(')')
	}
}

func (q *Queries) parameter(b *strings.Builder, n int) {
	if q.postgres {
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		return
	}
	b.WriteByte('?')
}

// InsertIntervals adds intervals of stored data to the ledger.
func (q *Queries) InsertIntervals(ctx context.Context, rows []Interval) error {
	return insertMany(ctx, q, "ledger", intervalCols, "", rows)
}

// InsertStagedChunks stores chunks.
func (q *Queries) InsertStagedChunks(ctx context.Context, rows []Staged) error {
	return insertMany(ctx, q, "staging", stagedCols, "", rows)
}

// InsertLabelPoints stores matured predictions; repeats are ignored.
func (q *Queries) InsertLabelPoints(ctx context.Context, rows []LabelPoint) error {
	return insertMany(ctx, q, "label_point", labelCols, "ON CONFLICT DO NOTHING", rows)
}

// overlapRow is the last stored interval that starts at or before the end of probe N.
type overlapRow struct {
	N    int64
	From *int64
}

func (r *overlapRow) dest() []any { return []any{&r.N, &r.From} }

// Overlaps returns for every range given what Overlap returns for it, nil where nothing
// overlaps.
func (q *Queries) Overlaps(ctx context.Context, probes []Interval) ([]*Interval, error) {
	out := make([]*Interval, len(probes))
	for start := 0; start < len(probes); start += bulkRows {
		part := probes[start:min(start+bulkRows, len(probes))]
		var args []any
		var b strings.Builder
		b.WriteString(`WITH probe(n, device, run, class, lo, hi) AS (VALUES `)
		for i, p := range part {
			if i > 0 {
				b.WriteByte(',')
			}
			q.probe(&b, len(args))
			args = append(args, int64(start+i), p.Device, p.Run, p.Class, p.From, p.To)
		}
		// stored intervals are disjoint: nothing overlaps when the last one that starts at or
		// before hi ends before lo
		b.WriteString(`) SELECT n, (SELECT CASE WHEN to_seq >= probe.lo THEN from_seq END FROM ledger WHERE ledger.device = probe.device AND ledger.run = probe.run
			AND ledger.class = probe.class AND ledger.kind = 0 AND from_seq <= probe.hi ORDER BY from_seq DESC LIMIT 1) FROM probe`)
		rows, err := many[overlapRow](ctx, q, b.String(), args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r.From == nil {
				continue
			}
			p := probes[r.N]
			i, err := q.Overlap(ctx, p.Device, p.Run, p.Class, p.From, p.To)
			if err != nil {
				return nil, err
			}
			out[r.N] = &i
		}
	}
	return out, nil
}

// probeTypes are the types of a probe's parameters, which PostgreSQL does not guess.
var probeTypes = [...]string{"BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT"}

// probe writes the parameters of one probe after n others.
func (q *Queries) probe(b *strings.Builder, n int) {
	for i, t := range probeTypes {
		b.WriteByte("(,,,,,"[i])
		if q.postgres {
			fmt.Fprintf(b, "CAST($%d AS %s)", n+i+1, t)
		} else {
			b.WriteByte('?')
		}
	}
	b.WriteByte(')')
}

// Island is a range of sequence numbers without a hole.
type Island struct {
	Class    int64
	From, To int64 // inclusive
}

func (i *Island) dest() []any { return []any{&i.Class, &i.From, &i.To} }

// Islands joins the intervals of a run, stored and declared, to ranges that neither touch nor
// overlap, in order of class and sequence number.
func (q *Queries) Islands(ctx context.Context, device, run string) ([]Island, error) {
	return many[Island](ctx, q, `SELECT class, MIN(from_seq), MAX(to_seq) FROM (
			SELECT class, from_seq, to_seq, SUM(begins) OVER (PARTITION BY class ORDER BY from_seq, kind ROWS UNBOUNDED PRECEDING) AS island FROM (
				SELECT class, kind, from_seq, to_seq, CASE WHEN from_seq <= 1 + MAX(to_seq) OVER
					(PARTITION BY class ORDER BY from_seq, kind ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS begins
				FROM ledger WHERE device = $1 AND run = $2) AS marked) AS numbered
		GROUP BY class, island ORDER BY class, MIN(from_seq)`, device, run)
}
