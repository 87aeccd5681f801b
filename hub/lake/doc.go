// Package lake keeps the fleet's records as Parquet files, one set per class, partitioned by date
// and site (<class>/date=YYYY-MM-DD/site=<site>/<digest>.parquet), with a manifest in SQL.
//
// The compactor moves staged chunks: it writes the files under names made of their content, then
// one SQL transaction adds them to the manifest and deletes the chunks. A crash in between leaves
// a file that nobody refers to, which is written again under the same name or removed at the next
// start. A record is therefore in the manifest's files or in staging, never in both and never in
// neither.
//
// Readers merge files and staging and yield the records of a device in order of (run ordinal,
// sequence number).
package lake
