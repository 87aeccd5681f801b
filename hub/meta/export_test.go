package meta

import "context"

// Exec runs a statement that no query of the package runs, to damage what is stored.
func Exec(q *Queries, ctx context.Context, query string, args ...any) (int64, error) {
	return q.exec(ctx, query, args...)
}

// Migrations are the files of the schema.
var Migrations = migrations
