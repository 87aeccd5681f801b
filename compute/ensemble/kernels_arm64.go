package ensemble

// killRowsNEONx1 writes the dead leaves of n blocks for 16 rows. Every block has at least one
// entry.
//
//go:noescape
func killRowsNEONx1(blocks *byte, n int, entries *byte, bins *byte, dead *byte)

// killRowsNEONx4 does so for 64 rows.
//
//go:noescape
func killRowsNEONx4(blocks *byte, n int, entries *byte, bins *byte, dead *byte)

// foldRowsNEONx1 adds the exit leaves of trees of so many blocks each to the sums of 16 rows.
// leaves holds stride bytes of scores per tree, leaf has room for a byte per row.
//
//go:noescape
func foldRowsNEONx1(dead *byte, trees int, blocks int, leaves *float64, stride int, leaf *byte, sum *float64)

// foldRowsNEONx4 does so for 64 rows.
//
//go:noescape
func foldRowsNEONx4(dead *byte, trees int, blocks int, leaves *float64, stride int, leaf *byte, sum *float64)

// treeLanesNEON writes the number of the exit leaf of every tree of so many groups of 16, for a
// row of at most 64 ranks. counts holds for each group its number of blocks and for each block
// its number of entries.
//
//go:noescape
func treeLanesNEON(counts *byte, groups int, entries *byte, ranks *byte, leaf *byte)
