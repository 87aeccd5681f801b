package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/meta"
)

// ErrModule means that a module cannot be used, and why.
var ErrModule = errors.New("no usable WebAssembly module")

// PutModule checks a module and stores it under a name, in place of what had the name. Models
// that were trained with the old one carry its code and keep it; the bytes stay in the store
// under their digest.
func (r *Registry) PutModule(ctx context.Context, actor, name string, code []byte) (meta.Module, error) {
	if err := feature.CheckModuleName(name); err != nil {
		return meta.Module{}, fmt.Errorf("%w: %w", ErrModule, err)
	}
	functions, err := wasm.Inspect(code)
	if err != nil {
		return meta.Module{}, fmt.Errorf("%w: %q: %w", ErrModule, name, err)
	}
	list, err := json.Marshal(functions)
	if err != nil {
		return meta.Module{}, fmt.Errorf("store module %q: %w", name, err)
	}
	m := meta.Module{
		Name:      name,
		Size:      int64(len(code)),
		Functions: string(list),
		CreatedBy: actor,
		CreatedAt: meta.Now(),
	}
	if m.Digest, err = r.blobs.PutContent(ctx, code); err != nil {
		return m, fmt.Errorf("store module %q: %w", name, err)
	}
	err = r.db.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(q.PutModule(ctx, m), q.Audit(ctx, actor, "module.put", name, "sha256:"+m.Digest))
	})
	if err != nil {
		return m, fmt.Errorf("store module %q: %w", name, err)
	}
	return m, nil
}

// Module returns the code of a module; an error that wraps meta.ErrNotFound describes how to add
// one.
func (r *Registry) Module(ctx context.Context, name string) ([]byte, error) {
	m, err := r.db.Read().Module(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("the hub has no module %q: add it with: skerry-hub module add %s FILE.wasm: %w", name, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("module %q: %w", name, err)
	}
	code, err := r.blobs.Get(ctx, blob.Key(m.Digest))
	if err != nil {
		return nil, fmt.Errorf("module %q: %w", name, err)
	}
	if sum := sha256.Sum256(code); hex.EncodeToString(sum[:]) != m.Digest {
		return nil, fmt.Errorf("module %q is damaged in the store: its %d bytes have the digest %x; add it again or restore %s from a backup", name, len(code), sum, blob.Key(m.Digest))
	}
	return code, nil
}

// RemoveModule forgets a name. Models that carry the code go on; tasks whose features name it are
// no longer trained.
func (r *Registry) RemoveModule(ctx context.Context, actor, name string) error {
	return r.db.Tx(ctx, func(q *meta.Queries) error {
		if err := q.DeleteModule(ctx, name); err != nil {
			return fmt.Errorf("module %q: %w", name, err)
		}
		return q.Audit(ctx, actor, "module.remove", name, "")
	})
}
