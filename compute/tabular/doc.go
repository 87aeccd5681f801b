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
//   - the separator of a text, its decimal sign (by column) and the order of its dates (by column)
//     are found in its first 256 KiB, or given by [Options]; what is not plain CSV is said by a note;
//   - a quote that opens or closes no field is text, and costs no rows; a quoted field that may hold
//     rows is said by a note; lines end with LF, CR LF or CR;
//   - spaces around a cell do not count; the empty cell, NA, N/A, null, NaN, ? and their relatives
//     are missing, in any case, and among numbers and times also None, - and the errors of
//     spreadsheets; [Options] may name others;
//   - numbers have a decimal point or comma and may have their thousands in groups, and one unit or
//     currency for all of a column, which a note names; true and false
//     are 1 and 0; infinite numbers are missing;
//   - times are in ISO 8601 and its relatives, with day, month and year in a European or American
//     order where only one has a meaning, or the number of seconds, milliseconds, microseconds or
//     nanoseconds since 1970, by its size; without a zone they are UTC;
//   - a column is numbers when nearly every cell is one, else times when nearly every one is a time,
//     else categories; a few cells that are not are missing, and counted ([Unreadable], [Tally]). A
//     Parquet file defines itself what its columns hold. Where an artifact is at hand its inputs
//     define the types ([Options].Types), and nothing is inferred.
//
// # Columns
//
// A column is found by its name, else by the letters and digits of it alone when only one has
// these ([Find]); no column is read for two names ([Match]). What a target is, which classes it has
// and which number a category is, given the categories of an artifact, is decided by [AreClasses],
// [Classes], [Codes] and [Codebook]: names are texts as the file has them. [Clock] finds the event
// time of a row.
//
// Every limit on what a file may make a program hold is in [Options]. Nothing here is safe for
// concurrent use but RegisterParquet's readers of different files.
package tabular
