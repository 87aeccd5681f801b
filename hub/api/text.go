package api

import (
	"fmt"
	"net/http"

	"skerry.dev/hub/meta"
)

// checkURL checks the path and the query of every request before any handler sees it. A JSON body is
// checked where it is decoded, in strictUnmarshal; its error does not show a text, which may be a
// password.
func checkURL(r *http.Request) error {
	if err := meta.CheckText(r.URL.Path); err != nil {
		return fmt.Errorf("the path %w", err)
	}
	for name, values := range r.URL.Query() {
		for _, text := range append(values, name) {
			if err := meta.CheckText(text); err != nil {
				return fmt.Errorf("the query parameter %.64q %w", name, err)
			}
		}
	}
	return nil
}
