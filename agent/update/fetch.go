package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var (
	errSlow = errors.New("download is slower than the least rate")
	// errContent means that the bytes are not the signed artifact; what was downloaded is thrown
	// away.
	errContent = errors.New("content is not the signed artifact")
)

// fetcher downloads one file to disk.
type fetcher struct {
	client  *http.Client
	auth    func(*http.Request)
	minRate int64 // bytes per second, averaged over window
	window  time.Duration
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
		if errors.Is(err, errContent) {
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
		return fmt.Errorf("download %s: HTTP %d", url, res.StatusCode)
	}
	if res.ContentLength >= 0 && res.ContentLength != length-have {
		return fmt.Errorf("%w: the server sends %d bytes, signed are %d", errContent, res.ContentLength, length-have)
	}
	_, err = io.Copy(io.MultiWriter(file, hash), io.LimitReader(counting{res.Body, &got}, length-have))
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
