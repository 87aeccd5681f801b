// Package lake keeps the fleet's records as Parquet files, one set per class, partitioned by date
// and site (<class>/date=YYYY-MM-DD/site=<site>/<digest>.parquet), with a manifest in SQL. The date
// is the first day of what a file holds.
//
// The compactor moves staged chunks: it writes the files under names made of their content, then
// one SQL transaction adds them to the manifest and deletes the chunks. A record is therefore in the
// manifest's files or in staging, never in both and never in neither. Small files of days before the
// newest are merged in the same way: one transaction takes those that were merged out of the
// manifest and adds what they became. Of equal readings the first is left, and the others are
// counted.
//
// What is about to be written is recorded before. A crash leaves a file that nobody refers to,
// which is written again under the same name or removed at the next start. What left the manifest,
// merged or too old, is deleted after a grace period; nothing else ever is.
//
// Readers merge files and staging and yield the records of a device in order of (run ordinal,
// sequence number). They are not disturbed by a merge: what they began to read stays until its grace
// period ends.
package lake
