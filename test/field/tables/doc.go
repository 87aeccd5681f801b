// Package tables tries the commands that read tables as people use them: real programs, files as
// spreadsheets, databases, pandas and loggers write them, and what must come out. Each case is a
// way in which a table was once misread, dropped or refused. It has tests only.
package tables
