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
			if len(keys) > maxDepth {
				return fmt.Errorf("the body is nested deeper than %d", maxDepth)
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
