package lake

import (
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Key orders the records of a device.
type Key struct {
	Ordinal int64 // of the run
	Seq     int64
}

func (k Key) less(o Key) bool {
	if k.Ordinal != o.Ordinal {
		return k.Ordinal < o.Ordinal
	}
	return k.Seq < o.Seq
}

// Reading is a row of the class reading. Time is event time in microseconds, Mono the arrival of its
// message in nanoseconds: see wire.Reading.
type Reading struct {
	Device     string  `parquet:"device,dict" json:"device"`
	Run        string  `parquet:"run,dict" json:"run"`
	RunOrdinal int64   `parquet:"run_ordinal,delta" json:"run_ordinal"`
	Seq        int64   `parquet:"seq,delta" json:"seq"`
	Series     string  `parquet:"series,dict" json:"series"`
	Time       int64   `parquet:"time,timestamp(microsecond),delta" json:"time"`
	Value      float64 `parquet:"value" json:"value"`
	Mono       int64   `parquet:"mono,delta" json:"mono"`
	Flags      int32   `parquet:"flags,delta" json:"flags"`
}

// Label is a row of the class label; see wire.Label.
type Label struct {
	Device      string  `parquet:"device,dict"`
	Run         string  `parquet:"run,dict"`
	RunOrdinal  int64   `parquet:"run_ordinal,delta"`
	Seq         int64   `parquet:"seq,delta"`
	Task        string  `parquet:"task,dict"`
	Row         int64   `parquet:"row_time,timestamp(microsecond),delta"`
	At          int64   `parquet:"at,timestamp(microsecond),delta"`
	Truth       float64 `parquet:"truth"`
	Predicted   float64 `parquet:"predicted"`
	Lower       float64 `parquet:"lower"`
	Upper       float64 `parquet:"upper"`
	Persistence float64 `parquet:"persistence"`
	Champion    float64 `parquet:"champion"`
	Candidate   float64 `parquet:"candidate"`
	ChampionID  string  `parquet:"champion_id,dict"`
	CandidateID string  `parquet:"candidate_id,dict"`
	BaselineLo  float64 `parquet:"baseline_lo"`
	BaselineHi  float64 `parquet:"baseline_hi"`
	// of a task of more than two classes; else 0
	Classes         int32   `parquet:"classes,delta"`
	Chance          float64 `parquet:"chance"`
	ChampionChance  float64 `parquet:"champion_chance"`
	CandidateChance float64 `parquet:"candidate_chance"`
	BaselineChance  float64 `parquet:"baseline_chance"`
	SetSize         int32   `parquet:"set_size,delta"`
	Covered         bool    `parquet:"covered"`
}

// Prediction is a row of the class prediction; see wire.Prediction.
type Prediction struct {
	Device     string  `parquet:"device,dict"`
	Run        string  `parquet:"run,dict"`
	RunOrdinal int64   `parquet:"run_ordinal,delta"`
	Seq        int64   `parquet:"seq,delta"`
	Task       string  `parquet:"task,dict"`
	Row        int64   `parquet:"row_time,timestamp(microsecond),delta"`
	For        int64   `parquet:"for_time,timestamp(microsecond),delta"`
	Value      float64 `parquet:"value"`
	Lower      float64 `parquet:"lower"`
	Upper      float64 `parquet:"upper"`
	Model      string  `parquet:"model,dict"`
	// of a task of more than two classes: the probability of each, and whether it is in the set
	Chances []float32 `parquet:"chances,list"`
	Set     []bool    `parquet:"in_set,list"`
}

// Event is a row of the classes event and alarm.
type Event struct {
	Device     string `parquet:"device,dict"`
	Run        string `parquet:"run,dict"`
	RunOrdinal int64  `parquet:"run_ordinal,delta"`
	Seq        int64  `parquet:"seq,delta"`
	Time       int64  `parquet:"time,timestamp(microsecond),delta"`
	Kind       string `parquet:"kind,dict"`
	Task       string `parquet:"task,dict"`
	Detail     string `parquet:"detail"`
}

// Host is a row of the class host.
type Host struct {
	Device     string  `parquet:"device,dict"`
	Run        string  `parquet:"run,dict"`
	RunOrdinal int64   `parquet:"run_ordinal,delta"`
	Seq        int64   `parquet:"seq,delta"`
	Time       int64   `parquet:"time,timestamp(microsecond),delta"`
	Metric     string  `parquet:"metric,dict"`
	Value      float64 `parquet:"value"`
}

func (r *Reading) head() (string, Key, int64)    { return r.Device, Key{r.RunOrdinal, r.Seq}, r.Time }
func (r *Label) head() (string, Key, int64)      { return r.Device, Key{r.RunOrdinal, r.Seq}, r.Row }
func (r *Prediction) head() (string, Key, int64) { return r.Device, Key{r.RunOrdinal, r.Seq}, r.Row }
func (r *Event) head() (string, Key, int64)      { return r.Device, Key{r.RunOrdinal, r.Seq}, r.Time }
func (r *Host) head() (string, Key, int64)       { return r.Device, Key{r.RunOrdinal, r.Seq}, r.Time }

// row is a pointer to a row type: its device, order and event time.
type row[T any] interface {
	*T
	head() (device string, key Key, time int64)
}

// place is where a record of a chunk belongs.
type place struct {
	device, run string
	ordinal     int64
	first       int64
}

func at(s meta.Staged) place { return place{s.Device, s.Run, s.RunOrdinal, s.From} }

func readingRows(p place, r *wire.Records) []Reading {
	out := make([]Reading, len(r.Readings))
	for i, x := range r.Readings {
		out[i] = Reading{p.device, p.run, p.ordinal, p.first + int64(i), x.Series, x.Time, x.Value, x.Mono, int32(x.Flags)}
	}
	return out
}

func labelRows(p place, r *wire.Records) []Label {
	out := make([]Label, len(r.Labels))
	for i, x := range r.Labels {
		out[i] = Label{p.device, p.run, p.ordinal, p.first + int64(i), x.Task, x.Row, x.At, x.Truth, x.Predicted, x.Lower, x.Upper, x.Persistence,
			x.Champion, x.Candidate, x.ChampionID, x.ShadowID, x.BaselineLo, x.BaselineHi,
			int32(x.Classes), x.Chance, x.ChanceOf.Champion, x.ChanceOf.Candidate, x.ChanceOf.Baseline, int32(x.SetSize), x.Covered}
	}
	return out
}

func predictionRows(p place, r *wire.Records) []Prediction {
	out := make([]Prediction, len(r.Predictions))
	for i, x := range r.Predictions {
		out[i] = Prediction{p.device, p.run, p.ordinal, p.first + int64(i), x.Task, x.Row, x.For, x.Value, x.Lower, x.Upper, x.Model, x.Chances, x.Set}
	}
	return out
}

func eventRows(p place, r *wire.Records) []Event {
	out := make([]Event, len(r.Events))
	for i, x := range r.Events {
		out[i] = Event{p.device, p.run, p.ordinal, p.first + int64(i), x.Time, x.Kind, x.Task, x.Detail}
	}
	return out
}

func hostRows(p place, r *wire.Records) []Host {
	out := make([]Host, len(r.Hosts))
	for i, x := range r.Hosts {
		out[i] = Host{p.device, p.run, p.ordinal, p.first + int64(i), x.Time, x.Metric, x.Value}
	}
	return out
}
