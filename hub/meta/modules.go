package meta

import "context"

// Module is a WebAssembly module that features of tasks call by its name. Functions is a JSON
// array of what it exports.
type Module struct {
	Name      string
	Digest    string
	Size      int64
	Functions string
	CreatedBy string
	CreatedAt int64
}

const moduleCols = "name, digest, size, functions, created_by, created_at"

func (m *Module) dest() []any {
	return []any{&m.Name, &m.Digest, &m.Size, &m.Functions, &m.CreatedBy, &m.CreatedAt}
}

// PutModule stores a module, in place of one with the same name.
func (q *Queries) PutModule(ctx context.Context, m Module) error {
	_, err := insert(ctx, q, "module", moduleCols, `ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, size = excluded.size, functions = excluded.functions,
		created_by = excluded.created_by, created_at = excluded.created_at`, &m)
	return err
}

// Module returns a module or ErrNotFound.
func (q *Queries) Module(ctx context.Context, name string) (Module, error) {
	return one[Module](ctx, q, "SELECT "+moduleCols+" FROM module WHERE name = $1", name)
}

// Modules lists every module.
func (q *Queries) Modules(ctx context.Context) ([]Module, error) {
	return many[Module](ctx, q, "SELECT "+moduleCols+" FROM module ORDER BY name")
}

// DeleteModule forgets a module; ErrNotFound when there is none.
func (q *Queries) DeleteModule(ctx context.Context, name string) error {
	return must(q.exec(ctx, "DELETE FROM module WHERE name = $1", name))
}
