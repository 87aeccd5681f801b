package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	errSlow = errors.New("download is slower than the least rate")
	// errContent means that the bytes are not the signed artifact; what was downloaded is thrown
	// away.
	errContent = errors.New("content is not the signed artifact")
	// errRoom means that the disk has no room for the download beside the readings.
	errRoom = errors.New("waiting")
)

// fetcher downloads one file to disk.
type fetcher struct {
	client  *http.Client
	auth    func(*http.Request)
	minRate int64 // bytes per second, averaged over window
	window  time.Duration
	free    func() (uint64, error) // bytes, nil: not looked at
	minFree int64                  // left to others
}

// room reports whether the rest of a download fits. A partial file that cannot be finished is
// removed: its room is worth more to the readings than the bytes to a later try.
func (f *fetcher) room(path string, length int64) error {
	if f.free == nil {
		return nil
	}
	var have int64
	if info, err := os.Stat(path); err == nil {
		have = info.Size()
	}
	free, err := f.free()
	if err != nil || free > math.MaxInt64 {
		return nil // unknown, as on file systems that do not tell: the write shows it
	}
	if int64(free)-f.minFree >= length-have {
		return nil
	}
	err = fmt.Errorf("%w: needs %s and %s for readings beside it, %s free", errRoom, megabytes(length), megabytes(f.minFree), megabytes(int64(free)+have))
	if have > 0 {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// watched writes to the file and ends the download when others have filled the disk meanwhile.
type watched struct {
	f     *fetcher
	file  *os.File
	left  int64 // of the download
	check int64 // bytes until the next look
}

// lookEvery is how many bytes are written between two looks at the disk.
const lookEvery = 1 << 20

func (w *watched) Write(p []byte) (int, error) {
	if w.check -= int64(len(p)); w.check < 0 && w.f.free != nil {
		w.check = lookEvery
		if free, err := w.f.free(); err == nil && free <= math.MaxInt64 && int64(free)-w.f.minFree < w.left {
			return 0, fmt.Errorf("%w: needs %s more and %s for readings beside it, %s free", errRoom, megabytes(w.left), megabytes(w.f.minFree), megabytes(int64(free)))
		}
	}
	n, err := w.file.Write(p)
	w.left -= int64(n)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: needs %s more, the disk is full (%w)", errRoom, megabytes(w.left), err)
	}
	return n, err
}

// fetch brings url to path, which may hold the beginning already, and returns nil when the file
// has exactly length bytes of the given digest.
func (f *fetcher) fetch(ctx context.Context, url, path, digest string, length int64) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if errors.Is(err, errContent) || errors.Is(err, errRoom) {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	hash := sha256.New()
	have, err := io.Copy(hash, io.LimitReader(file, length+1)) // leaves the file at its end
	if err != nil {
		return err
	}
	if have > length {
		return fmt.Errorf("%w: the partial file is longer than the %d bytes signed", errContent, length)
	}
	if have < length {
		if err := f.get(ctx, url, file, hash, have, length); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return fmt.Errorf("%w: digest %s, signed is %s", errContent, got, digest)
	}
	return file.Sync()
}

func (f *fetcher) get(ctx context.Context, url string, file *os.File, hash interface {
	io.Writer
	Reset()
}, have, length int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if f.auth != nil {
		f.auth(req)
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	var got, last atomic.Int64
	var watch *time.Timer
	watch = time.AfterFunc(f.window, func() {
		if now := got.Load(); now-last.Swap(now) < f.minRate*int64(f.window)/int64(time.Second) {
			cancel(errSlow)
			return
		}
		watch.Reset(f.window)
	})
	defer watch.Stop()
	res, err := f.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusPartialContent:
		if start, total, ok := contentRange(res.Header.Get("Content-Range")); !ok || start != have || (total >= 0 && total != length) {
			return fmt.Errorf("%w: Content-Range %q, wanted from byte %d of %d", errContent, res.Header.Get("Content-Range"), have, length)
		}
	case http.StatusOK: // the server does not resume
		if have > 0 {
			hash.Reset()
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if err := file.Truncate(0); err != nil {
				return err
			}
			have = 0
		}
	default:
		if res.StatusCode == http.StatusNotFound {
			return fmt.Errorf("waiting: the hub does not have the artifact (%s: HTTP 404)", url)
		}
		return fmt.Errorf("download %s: HTTP %d", url, res.StatusCode)
	}
	if res.ContentLength >= 0 && res.ContentLength != length-have {
		return fmt.Errorf("%w: the server sends %d bytes, signed are %d", errContent, res.ContentLength, length-have)
	}
	_, err = io.Copy(io.MultiWriter(&watched{f: f, file: file, left: length - have, check: lookEvery}, hash), io.LimitReader(counting{res.Body, &got}, length-have))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if got.Load() < length-have {
		return io.ErrUnexpectedEOF
	}
	if n, _ := res.Body.Read(make([]byte, 1)); n > 0 {
		return fmt.Errorf("%w: the server sends more than the %d bytes signed", errContent, length)
	}
	return nil
}

type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// contentRange reads "bytes 5-9/10"; total is -1 for "*".
func contentRange(s string) (start, total int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, all, ok2 := strings.Cut(rest, "/")
	from, _, ok3 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(from, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil {
		return 0, 0, false
	}
	if all == "*" {
		return start, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return start, total, err == nil
}
