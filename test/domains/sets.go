package main

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// kind is what a set's task predicts.
type kind int

const (
	number kind = iota // a forecast or a regression
	class
	unusual
)

// set is a data set and the task that somebody who has such data would write.
type set struct {
	name  string
	title string
	kind  kind
	file  string // of the task
	late  int    // rows that a label comes after its row
	load  func(dir string) (*data, error)
}

// sets are in the order of the table.
var sets = []set{
	{"steel", "steel plant, load 1 h ahead", number, "steel.yaml", 4, steel},
	{"ett", "ETTh1, oil temperature 24 h ahead", number, "ett.yaml", 24, transformer},
	{"bike", "bike rental, labels 24 h late", number, "bike.yaml", 24, bikes},
	{"engine", "C-MAPSS FD001, remaining life, 5 benches", number, "engine.yaml", 20, engines},
	{"occupancy", "occupancy of a room", class, "occupancy.yaml", 10, occupancy},
	{"mill", "AI4I, failing parts (3.4 %)", class, "mill.yaml", 20, mill},
	{"valve", "SKAB, a rig and its valve", unusual, "valve.yaml", 0, valve},
}

// message is what a sensor publishes.
type message struct {
	topic   string
	payload []byte
	row     int64 // event time of the row it makes, microseconds; 0 for a label
}

// data is a set, ready to be published, with what its predictions are judged by.
type data struct {
	messages []message
	rows     int
	truth    map[string]map[int64]float64 // by task and the time a prediction is for
	week     bool                         // the value of the week before is a baseline
	free     map[int64]bool               // rows of an anomaly task that are known to be usual
}

// table reads a compressed CSV as one record of cells by column for each row.
func table(path string) ([]map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lines, err := csv.NewReader(z).ReadAll()
	if err != nil || len(lines) == 0 {
		return nil, fmt.Errorf("%s: %d lines: %w", path, len(lines), err)
	}
	rows := make([]map[string]string, len(lines)-1)
	for i, l := range lines[1:] {
		rows[i] = make(map[string]string, len(l))
		for k, c := range lines[0] {
			rows[i][c] = l[k]
		}
	}
	return rows, nil
}

// payload is a JSON object of the named cells: numbers as such, other text quoted, empty cells left
// out.
func payload(ts any, row map[string]string, columns ...string) []byte {
	doc := map[string]any{"ts": ts}
	for _, c := range columns {
		switch v, err := strconv.ParseFloat(row[c], 64); {
		case row[c] == "":
		case err != nil:
			doc[c] = row[c]
		default:
			doc[c] = v
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("domains: " + err.Error()) // numbers and text can always be written
	}
	return b
}

// builder collects the messages of a set whose labels come late rows after theirs.
type builder struct {
	data
	late    int
	waiting []message
}

func (b *builder) add(topic string, at time.Time, payload []byte) {
	b.messages = append(b.messages, message{topic, payload, at.UnixMicro()})
	b.rows++
}

// label queues a label, and publishes the one that is due.
func (b *builder) label(task, topic string, at time.Time, truth float64, payload []byte) {
	b.know(task, at, truth)
	if b.waiting = append(b.waiting, message{topic, payload, 0}); len(b.waiting) > b.late {
		b.messages = append(b.messages, b.waiting[0])
		b.waiting = b.waiting[1:]
	}
}

func (b *builder) know(task string, at time.Time, truth float64) {
	if b.truth == nil {
		b.truth = map[string]map[int64]float64{}
	}
	if b.truth[task] == nil {
		b.truth[task] = map[int64]float64{}
	}
	b.truth[task][at.UnixMicro()] = truth
}

func (b *builder) done() (*data, error) {
	b.messages = append(b.messages, b.waiting...)
	return &b.data, nil
}

func parsed(s string) float64 {
	v, _ := strconv.ParseFloat(s, 64) // the columns it is used for hold numbers
	return v
}

func columns(row map[string]string, but ...string) (out []string) {
	for c := range row {
		if !slices.Contains(but, c) {
			out = append(out, c)
		}
	}
	return out
}

func steel(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "forecast", "steel_energy.csv.gz"))
	if err != nil {
		return nil, err
	}
	b := builder{data: data{week: true}}
	at := time.Date(2018, 1, 1, 0, 15, 0, 0, time.UTC) // its own stamps put midnight on the wrong day
	for _, r := range rows {
		b.add("steel/meter", at, payload(at.Format(time.RFC3339), r, columns(r, "date")...))
		b.know("steel-load", at, parsed(r["Usage_kWh"]))
		at = at.Add(15 * time.Minute)
	}
	return b.done()
}

func transformer(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "forecast", "etth1.csv.gz"))
	if err != nil {
		return nil, err
	}
	b := builder{data: data{week: true}}
	for _, r := range rows {
		at, err := time.Parse(time.DateTime, r["date"])
		if err != nil {
			return nil, err
		}
		b.add("ett/t1", at, payload(at.Format(time.RFC3339), r, columns(r, "date")...))
		b.know("transformer-oil", at, parsed(r["OT"]))
	}
	return b.done()
}

func bikes(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "tabular", "bike_sharing_hour.csv.gz"))
	if err != nil {
		return nil, err
	}
	b := builder{late: 24, data: data{week: true}}
	for _, r := range rows {
		day, err := time.Parse(time.DateOnly, r["dteday"])
		if err != nil {
			return nil, err
		}
		at := day.Add(time.Duration(parsed(r["hr"])) * time.Hour)
		ts := at.Format(time.RFC3339)
		b.add("bikes/weather", at, payload(ts, r, "hr", "workingday", "weathersit", "temp", "hum", "windspeed"))
		b.label("bikes", "bikes/count", at, parsed(r["cnt"]), payload(ts, r, "cnt"))
	}
	return b.done()
}

func occupancy(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "tabular", "occupancy.csv.gz"))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rows, func(a, b map[string]string) int { return cmp.Compare(a["date"], b["date"]) })
	rows = slices.CompactFunc(rows, func(a, b map[string]string) bool { return a["date"] == b["date"] })
	b := builder{late: 10}
	for _, r := range rows {
		at, err := time.Parse(time.DateTime, r["date"])
		if err != nil {
			return nil, err
		}
		ts := at.Format(time.RFC3339)
		b.add("room/reading", at, payload(ts, r, "Temperature", "Humidity", "Light", "CO2", "HumidityRatio"))
		b.label("occupied", "room/label", at, parsed(r["Occupancy"]), payload(ts, map[string]string{"occupied": r["Occupancy"]}, "occupied"))
	}
	return b.done()
}

func mill(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "pdm", "ai4i2020.csv.gz"))
	if err != nil {
		return nil, err
	}
	b := builder{late: 20}
	at := time.Date(2020, 9, 13, 12, 0, 0, 0, time.UTC)
	for _, r := range rows {
		b.add("mill/reading", at, payload(at.Unix(), r, "Type", "Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]"))
		word := map[string]string{"failure": "no"}
		if r["Machine failure"] == "1" {
			word["failure"] = "yes"
		}
		b.label("mill-failure", "mill/label", at, parsed(r["Machine failure"]), payload(at.Unix(), word, "failure"))
		at = at.Add(time.Minute)
	}
	return b.done()
}

// engines lets five benches run at once, each a row a minute and the next engine when one has
// failed.
func engines(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "pdm", "cmapss_fd001_train.csv.gz"))
	if err != nil {
		return nil, err
	}
	var units [][]map[string]string
	for i, r := range rows {
		if i == 0 || r["unit"] != rows[i-1]["unit"] {
			units = append(units, nil)
		}
		units[len(units)-1] = append(units[len(units)-1], r)
	}
	const benches = 5
	b := builder{late: 20 * benches}
	var running [benches][]map[string]string
	for at := time.Date(2020, 9, 13, 12, 0, 0, 0, time.UTC); ; at = at.Add(time.Minute) {
		idle := 0
		for k := range running {
			if len(running[k]) == 0 {
				if len(units) == 0 {
					idle++
					continue
				}
				running[k], units = units[0], units[1:]
			}
			r, ts := running[k][0], at.Add(time.Duration(k)*5*time.Second)
			running[k] = running[k][1:]
			r["rul"] = strconv.Itoa(min(125, len(running[k])))
			b.add(fmt.Sprintf("bench/%d/reading", k+1), ts, payload(ts.Unix(), r, "s2", "s3", "s4", "s7", "s8", "s9", "s11", "s12", "s13", "s14", "s15", "s17", "s20", "s21"))
			b.label(fmt.Sprintf("engine-life-%d", k+1), fmt.Sprintf("bench/%d/life", k+1), ts, parsed(r["rul"]), payload(ts.Unix(), r, "rul"))
		}
		if idle == benches {
			return b.done()
		}
	}
}

func valve(dir string) (*data, error) {
	rows, err := table(filepath.Join(dir, "anomaly", "skab.csv.gz"))
	if err != nil {
		return nil, err
	}
	const clean = "anomaly-free/anomaly-free"
	rows = slices.DeleteFunc(rows, func(r map[string]string) bool {
		return r["series"] != clean && filepath.Dir(r["series"]) != "valve1"
	})
	slices.SortStableFunc(rows, func(a, b map[string]string) int { return cmp.Compare(a["datetime"], b["datetime"]) })
	rows = slices.CompactFunc(rows, func(a, b map[string]string) bool { return a["datetime"] == b["datetime"] })
	b := builder{data: data{free: map[int64]bool{}}}
	for _, r := range rows {
		at, err := time.Parse(time.DateTime, r["datetime"])
		if err != nil {
			return nil, err
		}
		b.add("rig/reading", at, payload(at.Format(time.RFC3339), r, "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage", "VolumeFlowRateRMS"))
		if r["series"] == clean {
			b.free[at.UnixMicro()] = true
		} else {
			b.know("valve", at, parsed(r["anomaly"]))
		}
	}
	return b.done()
}
