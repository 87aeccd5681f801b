package main

import (
	"math"
	"math/rand/v2"
)

// classic are detectors with published scores. They check the scorer, not Skerry: each follows
// its published definition.
var classic = map[string]func(s *series, seed uint64) []float64{"null": null, "random": random, "windowed-gaussian": windowedGaussian, "relative-entropy": relativeEntropy}

func null(s *series, _ uint64) []float64 {
	out := make([]float64, len(s.values))
	for i := range out {
		out[i] = 0.5
	}
	return out
}

func random(s *series, seed uint64) []float64 {
	h := seed
	for _, c := range s.name {
		h = h*31 + uint64(c)
	}
	rng, out := rand.New(rand.NewPCG(h, 1)), make([]float64, len(s.values))
	for i := range out {
		out[i] = rng.Float64()
	}
	return out
}

// windowedGaussian is the tail probability of a value under the mean and deviation of the last
// 6400, which move on 100 at a time. The published result files hold 12 decimals, which ties the
// largest scores; without the rounding the same detector scores 40.1, 23.9 and 47.7.
func windowedGaussian(s *series, _ uint64) []float64 {
	const size, step = 6400, 100
	var window, next []float64
	mean, sd := 0.0, 1.0
	refit := func() {
		sum := 0.0
		for _, v := range window {
			sum += v
		}
		mean = sum / float64(len(window))
		sum = 0
		for _, v := range window {
			sum += (v - mean) * (v - mean)
		}
		if sd = math.Sqrt(sum / float64(len(window))); sd == 0 {
			sd = 1e-6
		}
	}
	out := make([]float64, len(s.values))
	for i, v := range s.values {
		if len(window) > 0 {
			out[i] = math.Round(1e12*(1-0.5*math.Erfc(math.Abs(v-mean)/sd/1.4142))) / 1e12
		}
		if len(window) < size {
			window = append(window, v)
			refit()
			continue
		}
		if next = append(next, v); len(next) == step {
			window, next = append(window[step:], next...), next[:0]
			refit()
		}
	}
	return out
}

// relativeEntropy is the multinomial goodness-of-fit test of Wang et al. (2011): the last 52
// values in 5 bins are compared with the histograms seen so far, and a histogram like none of
// them is an anomaly. It is given the range of the whole series, as the benchmark allows.
func relativeEntropy(s *series, _ uint64) []float64 {
	// of chi² with 4 degrees of freedom at 0.01
	const bins, width, limit = 5, 52, 13.276704135987622
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range s.values {
		low, high = min(low, v), max(high, v)
	}
	step := (high - low) / bins
	out := make([]float64, len(s.values))
	var known [][bins]float64
	var counts []int
	for i := width - 1; i < len(s.values) && step > 0; i++ {
		var p [bins]float64
		for _, v := range s.values[i-width+1 : i+1] {
			p[min(int(math.Ceil((v-low)/step)), bins-1)] += 1.0 / width
		}
		best, index := math.Inf(1), -1
		for k, q := range known {
			d := 0.0
			for b := range p {
				if p[b] > 0 {
					d += p[b] * math.Log(p[b]/q[b])
				}
			}
			if d *= 2 * width; d < limit && d < best {
				best, index = d, k
			}
		}
		switch {
		case index >= 0:
			if counts[index]++; counts[index] <= 1 {
				out[i] = 1
			}
		default:
			if len(known) > 0 {
				out[i] = 1
			}
			known, counts = append(known, p), append(counts, 1)
		}
	}
	return out
}
