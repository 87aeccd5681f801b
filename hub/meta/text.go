package meta

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// The reasons why a text can be no value of the database.
var (
	ErrNUL  = errors.New("holds a NUL")
	ErrUTF8 = errors.New("is not valid UTF-8")
)

// CheckText reports why a text can be no value of the database, nil when it can: PostgreSQL stores
// and compares only UTF-8 without NUL, and what SQLite would take is refused as well.
func CheckText(s string) error {
	switch {
	case strings.ContainsRune(s, 0):
		return ErrNUL
	case !utf8.ValidString(s):
		return ErrUTF8
	}
	return nil
}

// CheckJSON checks a JSON document with all texts in it, also those that are written with escapes,
// as far as it is JSON.
func CheckJSON(document []byte) error {
	if err := CheckText(string(document)); err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(document)); ; {
		t, err := d.Token()
		if err != nil {
			return nil // the end, or no JSON
		}
		if s, ok := t.(string); ok {
			if err := CheckText(s); err != nil {
				return err
			}
		}
	}
}
