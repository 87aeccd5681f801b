// Package cache is the agent's one bbolt file: the outbox, the journal of engine inputs, the
// snapshots of learned state and what is known of the readings that were accepted.
//
// [Store.Commit] writes everything that belongs to one group of messages in one transaction:
// outbox chunks, one journal entry and, when due, snapshots that name the journal position they
// contain. After a crash the newest snapshots plus the journal entries behind them rebuild the
// engines exactly.
//
// A damaged file is noticed at Open, salvaged as far as its chunks can be read, kept aside and
// reported; the agent starts in any case.
package cache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"skerry.dev/sync/dirlock"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
)

// FileName is the database's name in the state directory.
const FileName = "skerry.db"

var (
	bucketJournal   = []byte("journal")   // position → entry
	bucketSnapshots = []byte("snapshots") // name → position, what it was made for, blob
	bucketPositions = []byte("positions") // name → position of a snapshot that still holds
	bucketSeries    = []byte("series")    // series name → stable number
)

// Options of a store.
type Options struct {
	Dir    string
	Outbox outbox.Options
	// Check inspects a file that was not closed cleanly, in a way that survives a crash of the
	// check itself (a child process). nil: CheckFile in this process.
	Check func(path string) error
	// Salvage copies what can be read of a damaged file into a new one, in the same way. nil:
	// SalvageFile in this process.
	Salvage func(from, to string) error
	// Free returns the free bytes of the file system that holds a directory. nil: no reserve is
	// kept for a full disk, see [Store.Reserve].
	Free func(dir string) (uint64, error)
	Log  *slog.Logger
}

// Store is the open cache. Commit and the readers are for one goroutine; the outbox has its own
// rules.
type Store struct {
	db     *bbolt.DB
	box    *outbox.Outbox
	dir    string
	file   os.FileInfo // the file that is open, see displaced
	damage string
	lock   *dirlock.Lock

	borrowed error  // see Borrowed
	copy     string // the directory of the copy

	free     func(dir string) (uint64, error)
	reserve  int64
	maxBytes int64 // cap of the file
}

// Open opens or creates the cache in opts.Dir.
func Open(opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Check == nil {
		opts.Check = CheckFile
	}
	if opts.Salvage == nil {
		opts.Salvage = SalvageFile
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	lock, err := dirlock.Acquire(opts.Dir)
	if err != nil && Classify(err) != ReadOnly { // nobody else can write there either
		return nil, fmt.Errorf("open cache: %w", err)
	}
	path := filepath.Join(opts.Dir, FileName)
	maxBytes := opts.Outbox.MaxBytes
	if maxBytes == 0 {
		maxBytes = outbox.DefaultMaxBytes
	}
	s := &Store{
		dir:      opts.Dir,
		lock:     lock,
		free:     opts.Free,
		reserve:  min(max(maxBytes/reserveShare, reserveMin), reserveMax),
		maxBytes: maxBytes,
	}
	if s.free != nil {
		if free, err := s.free(opts.Dir); err == nil && free < uint64(s.reserve) && s.Release() {
			opts.Log.Warn("the disk is full: the reserve is given up for the start")
		}
	}
	clean := s.closedCleanly(path)
	if clean {
		err = s.use(path, opts.Outbox)
	}
	if !clean || err != nil && Classify(err) == Unknown { // it is not what was closed
		if err = s.repair(path, opts); err == nil {
			err = s.use(path, opts.Outbox)
		}
	}
	if Classify(err) == ReadOnly {
		if err = s.borrow(path, opts.Outbox, err); err == nil {
			opts.Log.Error("nothing can be stored", "err", s.borrowed)
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return s, nil
}

// use opens a file that is whole or new.
func (s *Store) use(path string, box outbox.Options) error {
	db, err := open(path, false, mapped(s.maxBytes))
	if err != nil {
		return fmt.Errorf("open cache %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketJournal, bucketSnapshots, bucketPositions, bucketSeries, bucketSeen} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.box, err = outbox.Open(db, box)
	}
	if err == nil {
		s.file, err = os.Stat(path)
	}
	if err != nil {
		return fmt.Errorf("open cache %s: %w", path, errors.Join(err, db.Close()))
	}
	s.db = db
	return nil
}

// ErrDisplaced is returned by Commit while the file that is open does not lie in the state directory
// any more: it was moved, deleted or replaced, and the next start would not find what is written.
var ErrDisplaced = errors.New("is not the file that this agent has open: it was moved, deleted or replaced, and the next start would not find what is written to it: put it back, or restart the agent to begin with what lies there")

func (s *Store) displaced() error {
	path := filepath.Join(s.dir, FileName)
	info, err := os.Stat(path)
	switch {
	case err == nil && os.SameFile(info, s.file):
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil // nobody knows
	}
	return fmt.Errorf("%s %w", path, ErrDisplaced)
}

// growth is by how much the file grows at a time.
const growth = 1 << 20

// mapped is how many bytes of address space are mapped for a file of at most maxBytes from the
// start: a disk that became read-only refuses another mapping, and without one bbolt must not be
// used any more. 0, for a mapping that grows, where address space is scarce or (on Windows) a
// mapping makes the file as long.
func mapped(maxBytes int64) int {
	if strconv.IntSize < 64 || runtime.GOOS == "windows" {
		return 0
	}
	return int(2*maxBytes + 2*growth)
}

func open(path string, readOnly bool, mapped int) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		InitialMmapSize: mapped,
		Timeout:         2 * time.Second,
		NoFreelistSync:  true,
		// the first free pages are used first: with a map of sizes a file of 8 MiB of chunks grew
		// to 66
		FreelistType:    bbolt.FreelistArrayType,
		ReadOnly:        readOnly,
		PreLoadFreelist: readOnly,
	}) // a check must meet what opening for writing would meet
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("another process has it open: end that process, or give this one a directory of its own: %w", err)
	}
	if err == nil {
		db.AllocSize = growth
	}
	return db, err
}

// cleanMark exists while the file was closed cleanly, and holds its size; nothing in builds before
// 2026-12.
func (s *Store) cleanMark() string { return filepath.Join(s.dir, FileName+".clean") }

// closedCleanly takes the mark away and reports whether it is of the file that is there.
func (s *Store) closedCleanly(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	text, err := os.ReadFile(s.cleanMark())
	if os.Remove(s.cleanMark()) != nil || err != nil {
		return false
	}
	if len(text) == 0 {
		return info.Size() > 0
	}
	return string(text) == strconv.FormatInt(info.Size(), 10)
}

// lost reports whether there was a file before: what lies beside it is still there.
func (s *Store) lost() bool {
	for _, p := range []string{s.cleanMark(), s.reservePath()} {
		if _, err := os.Stat(p); err == nil {
			return true
		}
	}
	return false
}

// repair checks a file that was not closed cleanly, or is not what was closed, and replaces it by
// what can be saved if it is proven to be damaged. A check that came to no end proves nothing and
// changes nothing. A file that is gone is damage too.
func (s *Store) repair(path string, opts Options) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if s.lost() {
			s.damage = FileName + " is gone: what was not delivered and what was learned is lost with it"
			opts.Log.Error("cache is gone: beginning with an empty one", "path", path)
			os.Remove(s.cleanMark())
		}
		return nil
	}
	problem := opts.Check(path)
	switch {
	case problem == nil:
		return nil
	case !errors.Is(problem, ErrDamaged):
		return fmt.Errorf("cache %s could not be checked, nothing was changed: %w", path, problem)
	}
	aside := s.asideName(path)
	opts.Log.Error("cache is damaged: saving what can be read", "err", problem, "kept_as", aside)
	fresh := path + ".salvage"
	os.Remove(fresh)
	if err := opts.Salvage(path, fresh); err != nil {
		opts.Log.Error("salvage ended early", "err", err)
	}
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("set damaged cache aside: %w", err)
	}
	if opts.Check(fresh) == nil {
		if err := os.Rename(fresh, path); err != nil {
			return fmt.Errorf("install salvaged cache: %w", err)
		}
	} else {
		opts.Log.Error("nothing could be saved: beginning with an empty cache")
		os.Remove(fresh)
	}
	s.damage = problem.Error()
	return nil
}

// asideName returns a free name for a damaged file; two are kept.
func (s *Store) asideName(path string) string {
	a, b := path+".corrupt-1", path+".corrupt-2"
	if _, err := os.Stat(a); errors.Is(err, os.ErrNotExist) {
		return a
	}
	os.Rename(b, a)
	return b
}

// Damage reports what was found wrong at Open, "" when nothing.
func (s *Store) Damage() string { return s.damage }

// Outbox returns the outbox.
func (s *Store) Outbox() *outbox.Outbox { return s.box }

// DB returns the database, for reading chunks.
func (s *Store) DB() *bbolt.DB { return s.db }

// Snapshot is one engine's (or the gate's) state.
type Snapshot struct {
	Name string // task name, or a name with a leading dot for the runtime's own state
	// what the state was made for, a JSON document of the writer's; nil in snapshots of builds
	// before 2026-12, which have Hash
	Of       json.RawMessage
	Hash     string // SHA-256 of the task file's text, of builds before 2026-12
	Position uint64 // last journal entry it contains; Detached when it needs none
	Gone     int64  // when its task was taken away, microseconds; 0: it runs
	Data     []byte
}

// Detached is the position of a snapshot behind which no journal has to be kept: of a task that does
// not run.
const Detached = ^uint64(0)

// Commit is what one transaction stores.
type Commit struct {
	Batch     outbox.Batch
	Position  uint64 // of Journal
	Journal   []byte // the inputs, nil when there were none
	Snapshots []Snapshot
	// names of stored snapshots that still hold at the position Noted: nothing that concerns them
	// has come since they were written
	Unchanged []string
	Noted     uint64
	Forget    []string // snapshots of tasks that are gone
	Series    map[string]uint32
	Seen      []SeenPage
}

// Commit stores c. A nil error means that it is durable. See Classify for errors, and ErrWritable.
func (s *Store) Commit(c *Commit) error {
	switch {
	case s.borrowed != nil && writable(s.dir):
		return ErrWritable
	case s.borrowed != nil:
		return s.borrowed
	}
	if err := s.displaced(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	var added *outbox.Added
	err := s.db.Update(func(tx *bbolt.Tx) (err error) {
		s.bound(tx)
		if added, err = s.box.Append(tx, &c.Batch); err != nil {
			return err
		}
		if err := s.putSeries(tx, c.Series); err != nil {
			return err
		}
		journal := tx.Bucket(bucketJournal)
		journal.FillPercent = 0.9
		if c.Journal != nil {
			if err := journal.Put(binary.BigEndian.AppendUint64(nil, c.Position), c.Journal); err != nil {
				return err
			}
		}
		if err := errors.Join(putSeen(tx, c.Seen), putSnapshots(tx, c)); err != nil {
			return err
		}
		if len(c.Snapshots)+len(c.Unchanged)+len(c.Forget) > 0 {
			return trim(tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.box.Committed(added)
	return nil
}

// fileShare is the part of the cap that pages in use may fill, in 256ths: what is free lies between
// them, and a commit writes its pages before it frees those they replace.
const fileShare = 200

// bound leaves the outbox what of the cap nothing else in the file uses, so that the cap is that of
// the file.
func (s *Store) bound(tx *bbolt.Tx) {
	st := s.db.Stats()
	used := tx.Size() - int64(st.FreePageN+st.PendingPageN)*int64(s.db.Info().PageSize)
	s.box.Bound(s.maxBytes/256*fileShare - max(used-s.box.Bytes(), 0))
}

func (s *Store) putSeries(tx *bbolt.Tx, ids map[string]uint32) error {
	b := tx.Bucket(bucketSeries)
	for name, id := range ids {
		if err := b.Put([]byte(name), binary.BigEndian.AppendUint32(nil, id)); err != nil {
			return err
		}
	}
	return nil
}

// putSnapshots stores the states of a commit and where they stand.
func putSnapshots(tx *bbolt.Tx, c *Commit) error {
	snaps, positions := tx.Bucket(bucketSnapshots), tx.Bucket(bucketPositions)
	for _, name := range c.Forget {
		if err := errors.Join(snaps.Delete([]byte(name)), positions.Delete([]byte(name))); err != nil {
			return err
		}
	}
	for _, sn := range c.Snapshots {
		v, err := sn.encode()
		if err != nil {
			return err
		}
		if err := errors.Join(snaps.Put([]byte(sn.Name), v), positions.Delete([]byte(sn.Name))); err != nil {
			return err
		}
	}
	for _, name := range c.Unchanged {
		if err := positions.Put([]byte(name), binary.BigEndian.AppendUint64(nil, c.Noted)); err != nil {
			return err
		}
	}
	return nil
}

// trim deletes the journal entries that every snapshot contains.
func trim(tx *bbolt.Tx) error {
	oldest := ^uint64(0)
	positions := tx.Bucket(bucketPositions)
	err := tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
		head, _, err := decodeHead(string(k), v)
		oldest = min(oldest, standing(head.Position, positions.Get(k)))
		return err
	})
	if err != nil {
		return err
	}
	c := tx.Bucket(bucketJournal).Cursor()
	// Next would skip an entry after a deletion
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= oldest; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// standing is the position up to which a snapshot holds: its own, or a later one that was noted.
func standing(own uint64, noted []byte) uint64 {
	if len(noted) == 8 {
		return max(own, binary.BigEndian.Uint64(noted))
	}
	return own
}

type snapshotHead struct {
	Hash     string          `json:"hash,omitempty"`
	Of       json.RawMessage `json:"of,omitempty"`
	Position uint64          `json:"position"`
	Gone     int64           `json:"gone,omitempty"`
}

func (sn *Snapshot) encode() ([]byte, error) {
	head, err := json.Marshal(snapshotHead{sn.Hash, sn.Of, sn.Position, sn.Gone})
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(head)))
	b = append(b, head...)
	return append(b, sn.Data...), nil
}

// decodeHead reads what stands before a snapshot's data, which it returns as it lies in v.
func decodeHead(name string, v []byte) (head snapshotHead, data []byte, err error) {
	if len(v) < 4 || uint64(len(v)-4) < uint64(binary.BigEndian.Uint32(v)) {
		return head, nil, fmt.Errorf("snapshot %q ends early", name)
	}
	n := 4 + int(binary.BigEndian.Uint32(v))
	if err := json.Unmarshal(v[4:n], &head); err != nil {
		return head, nil, fmt.Errorf("snapshot %q: %w", name, err)
	}
	return head, v[n:], nil
}

// Snapshots returns all snapshots by name.
func (s *Store) Snapshots() (map[string]Snapshot, error) {
	out := map[string]Snapshot{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) (err error) {
			out[string(k)], err = snapshot(tx, string(k), v)
			return err
		})
	})
	return out, err
}

// MadeFor returns what each snapshot was made for by its name, nil where it does not tell, without
// the data.
func (s *Store) MadeFor() (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSnapshots).ForEach(func(k, v []byte) error {
			head, _, err := decodeHead(string(k), v)
			out[string(k)] = head.Of
			return err
		})
	})
	return out, err
}

// Snapshot returns the snapshot of a name; false where there is none.
func (s *Store) Snapshot(name string) (sn Snapshot, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) (err error) {
		if v := tx.Bucket(bucketSnapshots).Get([]byte(name)); v != nil {
			sn, err = snapshot(tx, name, v)
			ok = err == nil
		}
		return err
	})
	return sn, ok, err
}

func snapshot(tx *bbolt.Tx, name string, v []byte) (Snapshot, error) {
	head, data, err := decodeHead(name, v)
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{
		Name:     name,
		Of:       head.Of,
		Hash:     head.Hash,
		Position: standing(head.Position, tx.Bucket(bucketPositions).Get([]byte(name))),
		Gone:     head.Gone,
		Data:     slices.Clone(data),
	}, nil
}

// Journal calls f with every entry in order.
func (s *Store) Journal(f func(position uint64, entry []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketJournal).ForEach(func(k, v []byte) error { return f(binary.BigEndian.Uint64(k), v) })
	})
}

// Series returns the stable numbers of series names.
func (s *Store) Series() (map[string]uint32, error) {
	out := map[string]uint32{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSeries).ForEach(func(k, v []byte) error {
			if len(v) != 4 {
				return fmt.Errorf("series %q has a bad number", k)
			}
			out[string(k)] = binary.BigEndian.Uint32(v)
			return nil
		})
	})
	return out, err
}

// Close closes the file, marks it as clean and gives the directory back. It may be called twice.
func (s *Store) Close() error {
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db = nil
	switch {
	case s.borrowed != nil:
		err = errors.Join(err, os.RemoveAll(s.copy))
	case err == nil && s.displaced() == nil: // the mark is of the file that lies there
		err = s.mark()
	}
	return errors.Join(err, s.lock.Release())
}

// mark notes that the file was closed cleanly.
func (s *Store) mark() error {
	info, err := os.Stat(filepath.Join(s.dir, FileName))
	if err != nil {
		return err
	}
	return os.WriteFile(s.cleanMark(), strconv.AppendInt(nil, info.Size(), 10), 0o600)
}

// Trouble describes what can be done after a failed commit.
type Trouble uint8

// The kinds of trouble.
const (
	Unknown Trouble = iota // the state on disk is unknown: stop; the next start is a new run
	Full                   // the disk or the file's cap is full: prune and try again
	// the file system became read-only: go on predicting, acknowledge nothing
	ReadOnly
	// the file is not where it was opened: the same, until it is back, see ErrDisplaced
	Displaced
)

// Classify decides what a failed commit means.
func Classify(err error) Trouble {
	switch {
	case because(err, syscall.ENOSPC), errors.Is(err, berrors.ErrMaxSizeReached):
		return Full
	case because(err, syscall.EROFS):
		return ReadOnly
	case errors.Is(err, ErrDisplaced):
		return Displaced
	}
	return Unknown
}

// because reports whether err comes from no. bbolt passes on as a text what keeps its file from
// growing; nothing is written by then.
func because(err error, no syscall.Errno) bool {
	return errors.Is(err, no) || err != nil && strings.Contains(err.Error(), "file resize error: ") && strings.HasSuffix(err.Error(), ": "+no.Error())
}

// CheckFile reads the whole file: bbolt's own structure check and the checksum of every chunk. The
// error matches ErrDamaged when the file is damaged; other errors mean that it could not be read. A
// badly damaged file can crash the process, so the agent runs it in a child, see ChildError.
func CheckFile(path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrDamaged, p)
		}
	}()
	db, err := open(path, true, 0)
	if err != nil {
		for _, damage := range []error{berrors.ErrInvalid, berrors.ErrVersionMismatch, berrors.ErrChecksum, io.ErrUnexpectedEOF} {
			if errors.Is(err, damage) {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		if info, serr := os.Stat(path); serr == nil && info.Size() < int64(2*os.Getpagesize()) {
			return fmt.Errorf("%w: it has %d bytes, and any store more", ErrDamaged, info.Size()) // no room for bbolt's two first pages
		}
		return err
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		if err := checkValues(tx); err != nil {
			return err
		}
		return walk(tx, func(path [][]byte, k, v []byte, chunk bool) error {
			if chunk {
				return checkChunk(path, k, v)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// checkValues looks at what Open and the readers demand of everything but chunks.
func checkValues(tx *bbolt.Tx) error {
	if err := outbox.CheckTx(tx); err != nil {
		return err
	}
	for name, check := range map[string]func(k, v []byte) error{
		string(bucketSeries): func(k, v []byte) error {
			if len(v) != 4 {
				return fmt.Errorf("series %q has a bad number", k)
			}
			return nil
		},
		string(bucketJournal): func(k, _ []byte) error {
			if len(k) != 8 {
				return fmt.Errorf("journal entry with a key of %d bytes", len(k))
			}
			return nil
		},
		string(bucketSnapshots): func(k, v []byte) error {
			_, _, err := decodeHead(string(k), v)
			return err
		},
	} {
		if b := tx.Bucket([]byte(name)); b != nil {
			if err := b.ForEach(check); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkChunk reads a chunk and compares it with the place where it lies: bits can flip in keys too.
func checkChunk(path [][]byte, k, v []byte) error {
	h, _, err := wire.Decode(v)
	if err != nil {
		return err
	}
	if string(h.Run[:]) != string(path[1]) || len(path[2]) != 1 || h.Class != wire.Class(path[2][0]) || len(k) != 8 || h.First != binary.BigEndian.Uint64(k) {
		return fmt.Errorf("%w: chunk %s/%s/%d lies under another key", wire.ErrCorrupt, h.Run, h.Class, h.First)
	}
	return nil
}

// SalvageFile writes what can be saved of a damaged file into a new one: the outbox. It reads the
// file's leaf pages one by one and relies on nothing else of its structure; chunks prove themselves
// by their checksum. A page that is no longer in use may hold chunks that were applied or dropped
// long ago: the hub recognises the first and can use the second. Learned state, the journal and the
// numbers of series are left out: what may be damaged unseen is worth less than nothing.
func SalvageFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var values [][]byte
	pageSize := os.Getpagesize()
	for at := 0; at+pageHeader <= len(b); at += pageSize {
		values = leafValues(values, b[at:], 0)
	}
	dst, err := open(to, false, 0)
	if err != nil {
		return err
	}
	err = dst.Update(func(tx *bbolt.Tx) error {
		_, err := outbox.Rescue(tx, values)
		return err
	})
	return errors.Join(err, dst.Close())
}

// The layout of bbolt's pages: id u64, flags u16, count u16, overflow u32, then per element of a
// leaf flags u32, pos u32 (from the element), ksize u32, vsize u32. The value of a small bucket
// is root u64 = 0, sequence u64 and a page.
const (
	pageHeader   = 16
	leafElement  = 16
	leafPage     = 2
	bucketFlag   = 1
	bucketHeader = 16
	maxNesting   = 4
)

// leafValues adds the values of the leaf page that b begins with, if it is one. Every length is
// checked: the page may be anything.
func leafValues(values [][]byte, b []byte, depth int) [][]byte {
	if depth > maxNesting || len(b) < pageHeader || binary.NativeEndian.Uint16(b[8:]) != leafPage {
		return values
	}
	for i := range int(binary.NativeEndian.Uint16(b[10:])) {
		at := pageHeader + i*leafElement
		if at+leafElement > len(b) {
			break
		}
		flags, pos, ksize, vsize := binary.NativeEndian.Uint32(b[at:]), uint64(binary.NativeEndian.Uint32(b[at+4:])), uint64(binary.NativeEndian.Uint32(b[at+8:])), uint64(binary.NativeEndian.Uint32(b[at+12:]))
		start := uint64(at) + pos + ksize
		if vsize == 0 || start+vsize > uint64(len(b)) {
			continue
		}
		v := b[start : start+vsize : start+vsize]
		if flags&bucketFlag == 0 {
			values = append(values, v)
		} else if len(v) > bucketHeader {
			values = leafValues(values, v[bucketHeader:], depth+1)
		}
	}
	return values
}

// walk visits every value; chunk marks values of the outbox.
func walk(tx *bbolt.Tx, f func(path [][]byte, k, v []byte, chunk bool) error) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return walkBucket([][]byte{slices.Clone(name)}, b, f) })
}

func walkBucket(path [][]byte, b *bbolt.Bucket, f func(path [][]byte, k, v []byte, chunk bool) error) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			if sub := b.Bucket(k); sub != nil {
				return walkBucket(append(slices.Clone(path), slices.Clone(k)), sub, f)
			}
			return nil
		}
		return f(path, k, v, len(path) == 3)
	})
}
