package tabular

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/frame"
)

// TestParseTime reads one instant as programs, spreadsheets and people write it.
func TestParseTime(t *testing.T) {
	const want = 1704164645e6 // 2024-01-02 03:04:05 UTC
	for s, less := range map[string]int64{
		"2024-01-02T03:04:05Z": 0, "2024-01-02 03:04:05": 0, "2024-01-02t03:04:05z": 0, "2024-01-02 03:04:05+00:00": 0,
		"2024-01-02 03:04:05.000000+00:00": 0, "2024-01-02 04:04:05+0100": 0, "2024-01-02T04:04:05+01": 0, "2024-01-01 19:04:05 -08:00": 0,
		"2024/01/02 03:04:05": 0, "2024-1-2 3:04:05": 0, "2024-01-02 03:04:05 UTC": 0, "2024-01-02 03:04:05 AM": 0, "02.01.2024 03:04:05": 0,
		"2024-01-02T03:04": 5e6, "2024-01-02 03:04": 5e6, "02.01.2024 03:04": 5e6, "2.1.2024 3:04": 5e6, "2024-01-02": 11045e6, "02.01.2024": 11045e6,
		"2024-01-01 24:00": 11045e6, "01.01.2024 24:00:00": 11045e6, "2024-01-01T23:59:60Z": 11045e6, "2024-01-02 03:04:05,250": -25e4, "2024-01-02 03:04:05.123456789": -123456,
	} {
		if got, err := ParseTime(s); err != nil || got != want-less {
			t.Errorf("ParseTime(%q) = %d, %v, want %d", s, got, err, int64(want)-less)
		}
	}
	for _, s := range []string{"", "2024", "20240102", "2024-13-01", "2023-02-29", "2024-01-02T", "2024-01-02 25:00", "2024-01-02 24:01", "2024-01-02 03:04:60", "2024-01-02 03:60", "2024-01-02 03:04:05 CET",
		"1.2.3", "192.168.1.10", "2024-01-02x", "03/04/2024", "12-11-2024", "2024-01-02 13:00 PM", "2024-01-02 03:04:05+1", "2024-01-02 03:04:05+15:00"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("ParseTime(%q) = %d, want an error", s, got)
		}
	}
}

// TestDateOrder: dates with slashes are read where the column, or the date itself, has one meaning.
func TestDateOrder(t *testing.T) {
	for text, want := range map[string]string{
		"d\n03/04/2024\n25/04/2024\n":       "2024-04-03",
		"d\n03/04/2024\n04/25/2024\n":       "2024-03-04",
		"d\n03-04-2024 10:00\n25-04-2024\n": "2024-04-03",
		"d\n04/04/2024\n05/05/2024\n":       "2024-04-04",
		"d\n03/04/2024\n05/06/2024\n":       "",
	} {
		f, err := Read(strings.NewReader(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &f.Columns[0]
		got := ""
		if c.Type == frame.Time {
			cell := Instant(c.Times[0])
			got = cell.String()[:10]
		}
		if got != want {
			t.Errorf("%q is %s %q, want %q", text, c.Type, got, want)
		}
	}
	_, err := Read(strings.NewReader("d,x\n"+strings.Repeat("03/04/2024,1\n", 30)), Options{Time: "d"})
	if err == nil || !strings.Contains(err.Error(), "03/04/2024") {
		t.Errorf("a clock of two meanings = %v", err)
	}
	f, err := Read(strings.NewReader("d,x\n03/04/2024,1\n"), Options{Time: "d", TimeFormat: "%m/%d/%Y"})
	if err != nil || f.Columns[0].Times[0] != 1709510400e6 {
		t.Errorf("by its format = %+v, %v", f, err)
	}
}

func TestInstantIn(t *testing.T) {
	for _, c := range []struct {
		cell   Cell
		format string
		want   int64 // 0: an error
	}{
		{Number(1704164645), FormatUnix, 1704164645e6},
		{Text("1704164645.5"), FormatUnix, 1704164645500000},
		{Text("1704164645000"), FormatUnixMS, 1704164645e6},
		{Number(1704164645e9), FormatUnixNS, 1704164645e6},
		{Text("1704164645000"), FormatUnix, 0},
		{Text("02/01/2024 03:04"), "02/01/2006 15:04", 1704164640e6},
		{Text("02/01/2024 03:04"), "%d/%m/%Y %H:%M", 1704164640e6},
		{Text("2024-01-02T03:04:05Z"), FormatRFC3339, 1704164645e6},
		{Text("yesterday"), FormatRFC3339, 0},
		{Instant(5), FormatUnix, 5},
	} {
		if got, err := c.cell.InstantIn(c.format); (err != nil) != (c.want == 0) || err == nil && got != c.want {
			t.Errorf("%+v in %s = %d, %v, want %d", c.cell, c.format, got, err, c.want)
		}
	}
	for format, ok := range map[string]bool{"": true, "unix_ns": true, "2006-01-02": true, "%Y%m%d": true, "%Q": false, "%Y-%": false, "iso": false, "yyyy-mm-dd": false} {
		if err := CheckTimeFormat(format); (err == nil) != ok {
			t.Errorf("CheckTimeFormat(%q) = %v", format, err)
		}
	}
}

// TestEpochs: a count since 1970 has the unit that puts it near today.
func TestEpochs(t *testing.T) {
	for v, want := range map[float64]int64{0: 0, 1.5: 1500000, -5: -5e6, 1704164645: 1704164645e6, 1704164645123: 1704164645123e3, 1704164645123456: 1704164645123456,
		1704164645123456000: 1704164645123456, 1e20: frame.NoTime} {
		if got := Epoch(v); got != want {
			t.Errorf("Epoch(%v) = %d, want %d", v, got, want)
		}
	}
}

// TestDatesWithoutSeparators: whole numbers that are dates are no counts since 1970.
func TestDatesWithoutSeparators(t *testing.T) {
	for text, want := range map[string]string{
		"20240701100000": "2024-07-01T10:00:00Z", "202407011030": "2024-07-01T10:30:00Z", "2024070110": "2024-07-01T10:00:00Z", "20240701": "2024-07-01T00:00:00Z",
		"1719828000": "2024-07-01T10:00:00Z", "1719828000000": "2024-07-01T10:00:00Z", "20241301": "1970-08-23T06:35:01Z",
	} {
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []Cell{asText(text), Number(number)} {
			us, err := c.Instant()
			if got := time.UnixMicro(us).UTC().Format(time.RFC3339); err != nil || got != want {
				t.Errorf("%s is %s, %v, want %s", text, got, err, want)
			}
		}
	}
}

// TestNamesOfZones: a zone whose name many places have is not taken for UTC.
func TestNamesOfZones(t *testing.T) {
	for text, ok := range map[string]bool{"2024-07-01 10:00:00 CEST": false, "2024-07-01 10:00:00 EST": false, "2024-07-01 10:00:00 UTC": true, "2024-07-01 10:00:00 GMT": true} {
		c := asText(text)
		us, err := c.InstantIn("%Y-%m-%d %H:%M:%S %Z")
		if (err == nil) != ok || ok && us != 1719828000e6 {
			t.Errorf("%s = %d, %v", text, us, err)
		}
	}
}

func asText(s string) Cell { return Cell{kind: text, text: s} }
