package main

import (
	"fmt"
	"testing"
)

// TestTableCells measures a detector on streams whose answer is known: constant errors raise no
// alarm, a change from never to always is found by every run, soon, and no change by none.
func TestTableCells(t *testing.T) {
	c := candidate{"adwin", nil, true, ""}
	if got := c.falseAlarms(3, 2000, errors(0)); got != 0 {
		t.Errorf("%v false alarms in 1000 values of 0", got)
	}
	cell, early := c.delays(4, 1000, 500, errors(0), errors(1))
	var mean, median, missed int
	if _, err := fmt.Sscanf(cell, "%d (%d) / %d", &mean, &median, &missed); err != nil || mean < 1 || mean > 64 || missed != 0 || early != 0 {
		t.Errorf("from never to always: %q, %d early (%v)", cell, early, err)
	}
	if cell, _ := c.delays(4, 1000, 500, errors(0), errors(0)); cell != "never" {
		t.Errorf("without a change: %q", cell)
	}
}

// TestCandidatesExist makes every row of the table.
func TestCandidatesExist(t *testing.T) {
	for _, c := range candidates {
		if c.make() == nil || c.label() == "" {
			t.Errorf("no detector %+v", c)
		}
	}
}
