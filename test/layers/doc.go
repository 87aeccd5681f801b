// Package layers holds the tests of the house's order: who may import whom, what the agent must
// not link, and that every package has a comment.
package layers
