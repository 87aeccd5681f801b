// Package ui looks at the hub's web UI with a browser.
//
// The test starts a real hub on loopback, lets a few stand-in devices follow its orders through
// whole rollouts, logs in as a person would and visits every view with headless Chromium, driven
// by drive.mjs. It checks what is to be read there, that nothing failed behind it and that no
// page is wider than the window, at the width of a desk and of a telephone, and leaves a picture
// of each view in $SKERRY_SHOTS. It needs the built UI, Node.js and Chromium, and reports when it
// skips.
package ui
