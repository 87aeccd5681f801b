package meta

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsDataError reports whether the database refused a statement for the values in it: they will be
// refused again, while other values would be stored. On PostgreSQL these are the classes 22 (data
// exception: a NUL, a number out of range), 23 (a constraint) and 54 (a limit: a key too large for
// its index); on SQLite what corresponds to them.
func IsDataError(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && len(pg.Code) == 5 {
		switch pg.Code[:2] {
		case "22", "23", "54":
			return true
		}
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff { // without the extension
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
			return true
		}
	}
	return false
}
