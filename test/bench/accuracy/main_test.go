package main

import (
	"encoding/json"
	"testing"
)

// TestReadsPeers reads a line as peers.py writes it: a table's name and task, and each library's
// scores.
func TestReadsPeers(t *testing.T) {
	var p peers
	if err := json.Unmarshal([]byte(`{"table":"car","task":"multiclass","rows":1728,"lightgbm":{"logloss":0.25,"seconds":1.5},"linear":{"rmse":3}}`), &p); err != nil {
		t.Fatal(err)
	}
	if l := p.Scores["lightgbm"]; p.Table != "car" || p.Task != "multiclass" || l.LogLoss == nil || *l.LogLoss != 0.25 || l.RMSE != nil || l.Seconds != 1.5 {
		t.Errorf("%+v", p)
	}
	if r := p.Scores["linear"].RMSE; r == nil || *r != 3 || len(p.Scores) != 2 {
		t.Errorf("%+v", p.Scores)
	}
	if err := json.Unmarshal([]byte(`{"lightgbm":{"logloss":"low"}}`), &p); err == nil {
		t.Error("a score that is no number is read")
	}
}
