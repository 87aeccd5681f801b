package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"skerry.dev/hub/meta"
)

// maxDepth bounds the nesting of a body.
const maxDepth = 64

// strictUnmarshal refuses what encoding/json lets pass: repeated keys, deep nesting, trailing
// data, invalid UTF-8, NUL.
func strictUnmarshal(data []byte, v any) error {
	if tooDeep(data) { // first: what follows keeps a record of every level
		return fmt.Errorf("the body is nested deeper than %d", maxDepth)
	}
	if err := meta.CheckJSON(data); err != nil {
		return fmt.Errorf("a text of the body %w", err)
	}
	if !json.Valid(data) {
		return errors.New("the body is not valid JSON")
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// tooDeep reports whether objects and arrays are nested deeper than maxDepth, as far as data are
// JSON.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}

func checkKeys(d *json.Decoder) error {
	d.UseNumber()
	var keys []map[string]bool // one per open container; nil for an array
	wantKey := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		inObject := len(keys) > 0 && keys[len(keys)-1] != nil
		switch x := t.(type) {
		case json.Delim:
			switch x {
			case '{':
				keys = append(keys, map[string]bool{})
				wantKey = true
			case '[':
				keys = append(keys, nil)
				wantKey = false
			default:
				keys = keys[:len(keys)-1]
				wantKey = len(keys) > 0 && keys[len(keys)-1] != nil
			}
			continue
		case string:
			if inObject && wantKey {
				if top := keys[len(keys)-1]; top[x] {
					return fmt.Errorf("the key %q is repeated", x)
				}
				keys[len(keys)-1][x] = true
				wantKey = false
				continue
			}
		}
		wantKey = inObject
	}
}
