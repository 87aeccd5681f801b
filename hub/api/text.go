package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// unfit reports why a text of a request can be no value of the hub, "" when it can: PostgreSQL
// stores and compares only UTF-8 without NUL, and what SQLite would take is refused as well.
func unfit(s string) string {
	switch {
	case strings.ContainsRune(s, 0):
		return "holds a NUL"
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	}
	return ""
}

// checkURL checks the path and the query of every request before any handler sees it. A JSON body is
// checked where it is decoded, in strictUnmarshal.
func checkURL(r *http.Request) error {
	if why := unfit(r.URL.Path); why != "" {
		return fmt.Errorf("the path %s", why)
	}
	for name, values := range r.URL.Query() {
		for _, text := range append(values, name) {
			if why := unfit(text); why != "" {
				return fmt.Errorf("the query parameter %.64q %s", name, why)
			}
		}
	}
	return nil
}

// checkTexts checks a JSON body with all texts in it, as far as it is JSON. The error does not show
// a text: it may be a password.
func checkTexts(body []byte) error {
	if why := unfit(string(body)); why != "" {
		return errors.New("the body " + why)
	}
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		t, err := d.Token()
		if err != nil {
			return nil // the end, or no JSON
		}
		if s, ok := t.(string); ok && unfit(s) != "" {
			return fmt.Errorf("a text of the body %s", unfit(s)) // written as \u0000
		}
	}
}
