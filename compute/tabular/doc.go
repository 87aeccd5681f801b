// Package tabular reads tables: what a cell means, what a column is for, and every file of rows
// through one reader.
//
// # Reading
//
// [Open] reads a table row by row and [Read] as a whole, as columns with their types. CSV, also
// packed with gzip, is read here; a Parquet file needs a decoder that the program links, see
// [RegisterParquet]. Both formats give the same cells, so that one set of rules holds for both and
// for every command:
//
//   - spaces around a cell do not count; the empty cell, NA, null, ? and NaN in any case are
//     missing;
//   - numbers are those of Go, with a decimal point; a decimal comma is not guessed;
//   - times are RFC 3339, the common forms without a zone, which are UTC, or the number of seconds
//     or milliseconds since 1970;
//   - a column is numbers when every cell is one, else times when every one is a time, else
//     categories; a Parquet file defines itself what its columns hold.
//
// # Columns
//
// A column is found by its name, else by the letters and digits of it alone when only one has
// these ([Find]). What a target is, which classes it has and which number a category is, given the
// categories of an artifact, is decided by [AreClasses], [Classes] and [Codes].
//
// Every limit on what a file may make a program hold is in [Options]. Nothing here is safe for
// concurrent use but RegisterParquet's readers of different files.
package tabular
