// Package web serves the hub's web UI from inside the program.
//
// The UI in ui/ is a single page (React, TypeScript, uPlot) that talks to the REST API like any
// other client: it logs in with POST /v1/login and keeps the token in the tab. npm builds it into
// dist/, which this package embeds. Without Node.js the program still builds; it then serves a
// page that describes how to get the UI. "npm run dev" in ui/ serves the sources as they are and
// passes the API's paths on to a hub on port 8000; "npm test" runs the tests of its pure
// functions, and test/ui looks at the whole with a browser.
//
// [Routes] mounts exactly "/" and "/assets/". Views are distinguished by the fragment of the
// address (#/fleet), so no other path belongs to the UI and the API's own answers to unknown paths
// stay as they are. Assets carry a hash in their name and may be kept for good; the page itself is
// always requested again. A strict Content-Security-Policy allows nothing but the hub's own files.
//
// The package imports no other package of the hub: what the page shows comes through the REST API.
package web
