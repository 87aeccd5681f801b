// Package layers holds the tests of the order of the packages: who may import whom, what the agent
// must not link, and that every package has a comment.
package layers
