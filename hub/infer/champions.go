package infer

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/sync/oip"
)

const (
	cachedModels = 16               // artifacts that stay loaded; a few MB each
	loadLimit    = 10 * time.Second // for the database and the blob store, of one request
)

// champions finds the models in force in the registry. Which one that is, is looked up for every
// request, so a new champion answers at once; artifacts are immutable and stay loaded until
// others take their place.
type champions struct {
	db       *meta.Store
	registry *registry.Registry
	log      *slog.Logger

	mu     sync.Mutex // guards what follows
	loaded map[string]*artifact.Artifact
	used   []string // digests, the least recently used first
}

// List implements oip.Repository.
func (c *champions) List() []string {
	ctx, cancel := context.WithTimeout(context.Background(), loadLimit)
	defer cancel()
	rows, err := c.db.Read().Champions(ctx)
	if err != nil {
		c.log.Error("champions not listed", "err", err)
	}
	var out []string
	for _, r := range rows {
		if !slices.Contains(out, r.Task) {
			out = append(out, r.Task)
		}
	}
	return out
}

// Get implements oip.Repository. Without a version it is the champion of all devices; a version
// ("pm25-next-hour@3" or a digest) may also name a cohort's.
func (c *champions) Get(name, version string) (oip.Model, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), loadLimit)
	defer cancel()
	rows, err := c.db.Read().Champions(ctx)
	if err != nil {
		c.log.Error("champions not listed", "err", err)
		return nil, false
	}
	for _, r := range rows {
		if r.Task != name || version == "" && r.Cohort != "" {
			continue
		}
		m, err := c.db.Read().Model(ctx, r.Digest)
		if err != nil || m.TombstonedAt != 0 || version != "" && version != registry.Name(m) && version != m.Digest {
			continue
		}
		a, err := c.load(ctx, m)
		if err != nil {
			c.log.Error("champion not loaded", "model", registry.Name(m), "digest", m.Digest, "err", err)
			return nil, false
		}
		return oip.FromArtifact(name, registry.Name(m), a), true
	}
	return nil, false
}

func (c *champions) load(ctx context.Context, m meta.Model) (*artifact.Artifact, error) {
	c.mu.Lock()
	defer c.mu.Unlock() // held while loading: requests for the same model wait for one load
	if i := slices.Index(c.used, m.Digest); i >= 0 {
		c.used = append(slices.Delete(c.used, i, i+1), m.Digest)
		return c.loaded[m.Digest], nil
	}
	b, err := c.registry.Load(ctx, m.Digest)
	if err != nil {
		return nil, err
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil {
		return nil, err
	}
	if err := a.SelfTest(); err != nil {
		return nil, err
	}
	if len(c.used) == cachedModels {
		delete(c.loaded, c.used[0])
		c.used = c.used[1:]
	}
	c.loaded[m.Digest] = a
	c.used = append(c.used, m.Digest)
	return a, nil
}
