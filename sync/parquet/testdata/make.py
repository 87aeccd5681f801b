"""Writes one table with every codec by pyarrow, polars and DuckDB, for peers_test.go.

    pip install pyarrow polars duckdb && python make.py

The values are made up here, by a generator of their own so that no library's changes. The columns
cover what a table holds: numbers that do not pack, whole numbers, text with few and with many values,
decimals that fit 4, 8 and 16 bytes, booleans, times, dates, nulls, and a list that has no place in it.
truth.csv is the same table.
"""

import csv
import datetime as dt
import decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 150
state = 1


def draw():
    """The next number of Lehmer's generator, in [0, 1)."""
    global state
    state = state * 48271 % 2147483647
    return state / 2147483647


def maybe(value):
    return None if draw() < 0.1 else value


rows = []
for i in range(ROWS):
    rows.append({
        "noise": draw(),
        "gap": maybe(draw() * 100 - 50),
        "count": i * 7919 % 1000 - 500,
        "kind": maybe(["north", "south", "östlich"][i % 3]),
        "code": f"{int(draw() * 1e9):09d}",
        "cents": maybe(decimal.Decimal(int(draw() * 1e6)) / 100 - 3000),
        "price": maybe(decimal.Decimal(int(draw() * 1e15)) / 10000),
        "mass": maybe(decimal.Decimal(int(draw() * 2147483647)) * 1000000007 * 1000000009 / 10**6 - 10**12),
        "on": maybe(i % 4 == 0),
        "at": dt.datetime(2024, 1, 1) + dt.timedelta(minutes=13 * i, microseconds=i),
        "day": maybe(dt.date(1960, 1, 1) + dt.timedelta(days=311 * i)),
        "tags": ["a", "b"][: i % 3],
    })

table = pa.table({
    "noise": pa.array([r["noise"] for r in rows], pa.float64()),
    "gap": pa.array([r["gap"] for r in rows], pa.float64()),
    "count": pa.array([r["count"] for r in rows], pa.int64()),
    "kind": pa.array([r["kind"] for r in rows], pa.string()),
    "code": pa.array([r["code"] for r in rows], pa.string()),
    "cents": pa.array([r["cents"] for r in rows], pa.decimal128(9, 2)),
    "price": pa.array([r["price"] for r in rows], pa.decimal128(18, 4)),
    "mass": pa.array([r["mass"] for r in rows], pa.decimal128(38, 6)),
    "on": pa.array([r["on"] for r in rows], pa.bool_()),
    "at": pa.array([r["at"] for r in rows], pa.timestamp("us")),
    "day": pa.array([r["day"] for r in rows], pa.date32()),
    "tags": pa.array([r["tags"] for r in rows], pa.list_(pa.string())),
})

for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(table, f"pyarrow-{codec}.parquet", compression=codec, row_group_size=100)
pq.write_table(table, "pyarrow-v2-lz4.parquet", compression="lz4", data_page_version="2.0", use_dictionary=False)
pq.write_table(table, "pyarrow-v2-zstd.parquet", compression="zstd", data_page_version="2.0", data_page_size=500)
pq.write_table(table.drop(["mass", "price", "cents"]), "pyarrow-int96-snappy.parquet", use_deprecated_int96_timestamps=True)

frame = pl.from_arrow(table)
rows_table = table
for codec in ["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    frame.write_parquet(f"polars-{codec}.parquet", compression=codec)

for codec in ["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4_raw"]:
    duckdb.sql(f"COPY (SELECT * FROM rows_table) TO 'duckdb-{codec}.parquet' (FORMAT parquet, CODEC '{codec}')")

with open("truth.csv", "w", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    w.writerow([c for c in table.column_names if c != "tags"])
    for r in rows:
        r["on"] = None if r["on"] is None else str(r["on"]).lower()
        w.writerow(["" if v is None else v for k, v in r.items() if k != "tags"])
