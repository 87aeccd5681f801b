package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// recorded are errors, ahead rows before, of the last value and of the mean of it and the value a day
// before that.
const ahead = 6

// pairs are the losses of two forecasters of one series, in units of the first one's mean, equal in
// the mean after they are clipped. They go round.
type pairs struct {
	losses [][2]float64
	at     int
}

func (p *pairs) next() (incumbent, candidate float64) {
	v := p.losses[p.at]
	p.at = (p.at + 1) % len(p.losses)
	return v[0], v[1]
}

// recorded reads the real series.
func recorded(dir string) ([]shape, error) {
	sets := []struct {
		name    string
		day     int // rows
		columns [][2]string
	}{
		{"stations", 24, nil},
		{"steel", 96, [][2]string{{"forecast/steel_energy", "Usage_kWh"}}},
		{"ETT", 24, nil},
	}
	for _, station := range []string{"aotizhongxin", "changping", "dingling", "guanyuan", "gucheng", "shunyi", "tiantan", "wanshouxigong"} {
		sets[0].columns = append(sets[0].columns, [2]string{"fleet/beijing_air_" + station, "PM2.5"})
	}
	for _, column := range []string{"OT", "HUFL", "MUFL", "LUFL", "HULL"} {
		sets[2].columns = append(sets[2].columns, [2]string{"forecast/etth1", column})
	}
	var out []shape
	for _, set := range sets {
		var all [][][2]float64
		for _, c := range set.columns {
			v, err := column(filepath.Join(dir, c[0]+".csv.gz"), c[1])
			if err != nil {
				return nil, err
			}
			all = append(all, paired(v, set.day))
		}
		out = append(out, shape{set.name, func(device int, start float64, _ *rand.Rand) losses {
			return &pairs{all[device], int(start * float64(len(all[device])))}
		}, len(all)})
	}
	return out, nil
}

// paired returns the losses of the two forecasters wherever both have one.
func paired(v []float64, day int) (out [][2]float64) {
	for t := day; t+ahead < len(v); t++ {
		last, truth := v[t], v[t+ahead]
		a, b := math.Abs(last-truth), math.Abs((last+v[t+ahead-day])/2-truth)
		if !math.IsNaN(a) && !math.IsNaN(b) {
			out = append(out, [2]float64{a, b})
		}
	}
	mean := func(k int, scale float64) (m float64) {
		for _, p := range out {
			m += min(p[k]*scale, clip) / float64(len(out))
		}
		return m
	}
	unit := 1 / mean(0, 1e-9) / 1e9 // unclipped
	want := mean(0, unit)
	lo, hi := 0.0, 100*unit
	for range 60 {
		if mid := (lo + hi) / 2; mean(1, mid) < want {
			lo = mid
		} else {
			hi = mid
		}
	}
	for i := range out {
		out[i][0] *= unit
		out[i][1] *= lo
	}
	return out
}

// column reads a column of a compressed table; what is no number is NaN.
func column(path, name string) ([]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k := slices.Index(rows[0], name)
	if k < 0 {
		return nil, fmt.Errorf("%s: no column %q, there are %v", path, name, rows[0])
	}
	out := make([]float64, len(rows)-1)
	for i, r := range rows[1:] {
		if out[i], err = strconv.ParseFloat(r[k], 64); err != nil {
			out[i] = math.NaN()
		}
	}
	return out, nil
}
