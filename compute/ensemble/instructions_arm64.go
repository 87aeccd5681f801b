package ensemble

// neon ranks without vectors: with two float64 in each, comparing with all thresholds of a part
// takes as many steps as the search.
var neon = &instructions{
	name:       "neon",
	thresholds: 255,
	flip:       flipRows,
	lanes:      16,
	passes:     []pass{{16, killRowsNEONx1, foldRowsNEONx1}, {64, killRowsNEONx4, foldRowsNEONx4}},
	looks:      []look{{64, treeLanesNEON}},
	rank:       rankGo,
	sum:        sumGo,
}

// vectorSets lists this architecture's sets; every arm64 processor has NEON.
func vectorSets() []vectorSet { return []vectorSet{{neon, true}} }
