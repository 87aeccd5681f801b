package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"skerry.dev/hub/blob"
)

// bind makes sure that the stores of artifacts and of the lake belong to this database: it alone
// knows what is in them, and a database that knows nothing of them would take them for rubbish. A
// store that nobody owns yet is taken when it is empty, or when the database knows what is in it.
func (h *Hub) bind(ctx context.Context) error {
	id, err := h.DB.Instance(ctx)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		name  string
		store *blob.Store
		knows func() (bool, error)
	}{
		{"lake", h.lakeBlobs, func() (bool, error) {
			files, err := h.DB.Read().LakeFiles(ctx, 0)
			return len(files) > 0, err
		}},
		{"artifacts", h.Blobs, func() (bool, error) {
			models, err := h.DB.Read().Models(ctx, "", 1)
			modules, err2 := h.DB.Read().Modules(ctx)
			return len(models)+len(modules) > 0, errors.Join(err, err2)
		}},
	} {
		owner, err := s.store.Owner(ctx)
		if err != nil {
			return fmt.Errorf("whose %s this is: %w", s.name, err)
		}
		if owner == id {
			continue
		}
		free := owner == ""
		if free {
			if free, err = s.store.Empty(ctx); err == nil && !free {
				free, err = s.knows()
			}
			if err != nil {
				return fmt.Errorf("whose %s this is: %w", s.name, err)
			}
			owner = "unknown, from before this was recorded"
		}
		if !free && !h.opts.Adopt {
			return fmt.Errorf("the %s at %s belongs to another database (%s) than this one (%s, %s): correct database_url, DATABASE_URL or blob_url, or put the right database back; "+
				"if this database is to take it over, start once with --adopt (nothing is deleted)", s.name, h.where(s.store), owner, id, h.database())
		}
		if err := s.store.SetOwner(ctx, id); err != nil {
			return fmt.Errorf("mark whose %s this is: %w", s.name, err)
		}
		if !free {
			h.Log.Warn("taken over from another database", "store", s.name, "at", h.where(s.store), "owner_before", owner)
		}
	}
	return nil
}

// where names a store for people, without what may be secret in its address.
func (h *Hub) where(s *blob.Store) string {
	if dir := s.Dir(); dir != "" {
		return dir
	}
	address, _, _ := strings.Cut(h.opts.Config.BlobURL, "?")
	return address
}

// database names the database for people, without what may be secret in its address.
func (h *Hub) database() string {
	url := h.opts.Config.DatabaseURL
	switch {
	case url == "":
		return "hub.db in " + h.opts.Config.DataDir
	case h.DB.Dialect() == "sqlite":
		return url
	}
	return "PostgreSQL"
}
