package main

import (
	"encoding/json"
	"math"
	"sync"
	"time"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/metric"
)

// score judges what a device published against the truth, from the outside: it sees MQTT messages
// only.
type score struct {
	mu     sync.Mutex
	truth  map[int64]float64   // target by hour
	said   map[int64]predicted // first published prediction by row time
	newest int64               // newest row time a prediction was published for, unix seconds
	again  int                 // predictions published a second time, as after a crash
	differ int                 // of these, with another value: must stay 0
	first  int64               // row time of the first prediction by a hub model, 0 before
	model  string              // newest model
}

type predicted struct {
	TS    time.Time `json:"ts"`
	Model string    `json:"model"`
	Value float64   `json:"value"`
	Lo    float64   `json:"lo"`
	Hi    float64   `json:"hi"`
	Base  float64   `json:"persistence"`
	Bare  bool      `json:"baseline"`
}

func newScore(s *station, target string) *score {
	sc := &score{truth: map[int64]float64{}, said: map[int64]predicted{}}
	for _, h := range s.hours {
		for _, v := range h.values {
			if v.series == target {
				sc.truth[h.at.Unix()] = v.number
			}
		}
	}
	return sc
}

// take records a published prediction.
func (s *score) take(payload []byte) {
	var p predicted
	if json.Unmarshal(payload, &p) != nil {
		return
	}
	t := p.TS.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = max(s.newest, t)
	if old, ok := s.said[t]; ok {
		s.again++
		if old.Value != p.Value || old.Model != p.Model {
			s.differ++
		}
		return
	}
	s.said[t] = p
	s.model = p.Model
	if !p.Bare && s.first == 0 {
		s.first = t
	}
}

func (s *score) progress() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// verdict is the summary of a device.
type verdict struct {
	Predictions                                   int
	MAEPersistence, MAEModel                      float64
	Coverage90, IntervalScore, IntervalScoreNaive float64
	Scored                                        int
}

// judge scores what was published since the first activation. The naive interval are trailing
// quantiles of the last value's error.
func (s *score) judge(st *station) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := verdict{Predictions: len(s.said)}
	trail := conformal.NewWindow(500)
	for _, h := range st.hours {
		t := h.at.Unix()
		y0, now := s.truth[t]
		y1, next := s.truth[t+3600]
		p, said := s.said[t]
		if !now || !next {
			continue
		}
		if said && s.first != 0 && t >= s.first && trail.Len() > 50 {
			v.Scored++
			v.MAEModel += math.Abs(y1 - p.Value)
			v.MAEPersistence += math.Abs(y1 - y0)
			if y1 >= p.Lo && y1 <= p.Hi {
				v.Coverage90++
			}
			v.IntervalScore += metric.IntervalScore(p.Lo, p.Hi, y1, 0.9)
			v.IntervalScoreNaive += metric.IntervalScore(y0+trail.Quantile(0.05), y0+trail.Quantile(0.95), y1, 0.9)
		}
		trail.Add(y1 - y0)
	}
	n := float64(max(v.Scored, 1))
	v.MAEModel /= n
	v.MAEPersistence /= n
	v.Coverage90 /= n
	v.IntervalScore /= n
	v.IntervalScoreNaive /= n
	return v
}
