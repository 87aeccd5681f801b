package govern

import (
	"maps"
	"testing"

	"github.com/shirou/gopsutil/v3/host"
)

// TestBelowZero: a box outdoors is below zero in winter, and its hottest sensor may be; what a
// sensor gives that has failed is no temperature.
func TestBelowZero(t *testing.T) {
	got := hottest([]host.TemperatureStat{
		{SensorKey: "board_1", Temperature: -21.5}, {SensorKey: "board_2", Temperature: -18}, {SensorKey: "nvme", Temperature: 0},
		{SensorKey: "coretemp_core_0", Temperature: -2}, {SensorKey: "coretemp_core_1", Temperature: 31}, {SensorKey: "gone", Temperature: -127}, {SensorKey: "hot", Temperature: 6553},
	})
	if want := map[string]float64{"board": -18, "nvme": 0, "coretemp_core": 31}; !maps.Equal(got, want) {
		t.Errorf("hottest = %v, want %v", got, want)
	}
}
