package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// hour is one message of a station: its values by series name. Text stands for categories.
type hour struct {
	at     time.Time
	values []value
}

type value struct {
	series string
	number float64
	text   string
}

// station is a sensor site with its readings.
type station struct {
	name  string
	hours []hour
}

// readings counts the station's readings: one per series and event time.
func (s *station) readings() (n int) {
	for _, h := range s.hours {
		n += len(h.values)
	}
	return n
}

// airSeries are the series of the air-quality files in the order of their columns.
var airSeries = []struct {
	column, series string
}{{"PM2.5", "pm25"}, {"PM10", "pm10"}, {"SO2", "so2"}, {"NO2", "no2"}, {"CO", "co"}, {"O3", "o3"}, {"TEMP", "temp"}, {"PRES", "pres"}, {"DEWP", "dewp"}, {"RAIN", "rain"}, {"wd", "wd"}, {"WSPM", "wspm"}}

var airStations = []string{"aotizhongxin", "changping", "dingling", "gucheng"}

// loadAir reads the first n hours of the four stations, all when n is 0.
func loadAir(dir string, n int) ([]*station, error) {
	var out []*station
	for _, name := range airStations {
		s, err := loadStation(filepath.Join(dir, "fleet", "beijing_air_"+name+".csv.gz"), name, n)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func loadStation(path, name string, n int) (*station, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := csv.NewReader(zr).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	column := map[string]int{}
	for i, c := range rows[0] {
		column[c] = i
	}
	s := &station{name: name}
	for line, r := range rows[1:] {
		if n > 0 && line == n {
			break
		}
		var d [4]int
		for i, c := range []string{"year", "month", "day", "hour"} {
			if d[i], err = strconv.Atoi(r[column[c]]); err != nil {
				return nil, fmt.Errorf("%s line %d: %w", path, line+2, err)
			}
		}
		h := hour{at: time.Date(d[0], time.Month(d[1]), d[2], d[3], 0, 0, 0, time.UTC)}
		for _, a := range airSeries {
			cell := r[column[a.column]]
			switch {
			case cell == "":
			case a.series == "wd":
				h.values = append(h.values, value{series: a.series, text: cell})
			default:
				x, err := strconv.ParseFloat(cell, 64)
				if err != nil {
					return nil, fmt.Errorf("%s line %d: %w", path, line+2, err)
				}
				h.values = append(h.values, value{series: a.series, number: x})
			}
		}
		s.hours = append(s.hours, h)
	}
	return s, nil
}

// simulate makes pumping stations: the bearing temperature follows load, weather and wear, is
// repaired now and then, and its sensors fail at times.
func simulate(n int) []*station {
	var out []*station
	for k, name := range []string{"pump-north", "pump-east", "pump-south", "pump-west"} {
		rng := rand.New(rand.NewPCG(uint64(k), 42))
		s := &station{name: name}
		wear, heat, weather := 0.0, 40.0, 0.0
		broken := map[string]int{}
		for i := range n {
			at := time.Date(2013, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
			season := math.Sin(2*math.Pi*float64(at.YearDay())/365.25 - 2)
			daily := math.Sin(2 * math.Pi * float64(at.Hour()-9) / 24)
			weather = 0.95*weather + rng.NormFloat64()
			ambient := 12 + 14*season + 4*daily + weather
			load := math.Max(0, 50+25*daily+10*season+8*rng.NormFloat64()+float64(5*k))
			wear += 0.0006 * load / 50 * (1 + wear)
			if wear > 1.2 && rng.Float64() < 0.01 {
				wear = 0 // repaired
			}
			heat += 0.25 * (ambient + 0.4*load*(1+wear) - heat)
			heat += 0.8 * rng.NormFloat64()
			flow := load * (1 - 0.1*wear) * 1.3
			values := []value{
				{series: "bearing", number: heat},
				{series: "load", number: load},
				{series: "flow", number: flow},
				{series: "vibration", number: 3 + 2*wear + 0.2*rng.NormFloat64()},
				{series: "speed", number: load * 12},
				{series: "pressure", number: 6 - 0.01*flow},
				{series: "ambient", number: ambient},
				{series: "barometer", number: 1013 + 3*weather},
			}
			h := hour{at: at}
			for _, v := range values {
				if broken[v.series] > 0 {
					broken[v.series]--
					continue
				}
				if rng.Float64() < 0.0005 {
					broken[v.series] = rng.IntN(48)
				}
				v.number = math.Round(v.number*10) / 10
				h.values = append(h.values, v)
			}
			h.values = append(h.values, value{series: "intake", text: []string{"lake", "river", "well"}[rng.IntN(3)]})
			s.hours = append(s.hours, h)
		}
		out = append(out, s)
	}
	return out
}
