// Package ui looks at the hub's web UI, and at the agent's pages, with a browser.
//
// The test starts a real hub on loopback, lets a few stand-in devices follow its orders through
// whole rollouts, logs in as a person would and visits every view with headless Chromium, driven
// by drive.mjs. It checks what is to be read there, that nothing failed behind it and that no
// page is wider than the window, at the width of a desk and of a telephone, and leaves a picture
// of each view in $SKERRY_SHOTS. On every page and dialog axe-core runs in light and in dark, at
// 1440 and at 390 px; what it reports of impact serious or critical fails the test. The pages that
// an agent serves are looked at in the same way. It needs the built UI with its Node.js modules,
// Node.js and Chromium, and reports when it skips.
package ui
