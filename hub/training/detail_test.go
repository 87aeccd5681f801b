package training

import "testing"

func TestOfModel(t *testing.T) {
	for detail, want := range map[string]bool{
		`{"detector":"adwin","model":"3fa9","weights":{"model":0.4}}`: true,
		`{"detector":"adwin","weights":{"model":0.4,"last":0.6}}`:     false,
		`{"detector":"adwin","model":""}`:                             false,
		`{}`:                                                          false,
		`no JSON`:                                                     false,
	} {
		if got := ofModel(detail); got != want {
			t.Errorf("ofModel(%s) = %v, want %v", detail, got, want)
		}
	}
}
