package anomaly_test

import (
	"fmt"

	"skerry.dev/compute/anomaly"
)

func ExampleNew() {
	s, err := anomaly.New("auto", map[string]string{"period": "none"}, anomaly.Schema{Columns: []string{"level"}, Timed: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 1000 {
		level := float64(i % 10)
		if i == 700 {
			level = 40
		}
		if score := s.Update([]float64{level}, int64(i)*60_000_000); score >= s.Limit() {
			fmt.Printf("row %d: level %v, score %.2f\n", i, level, score)
		}
	}
	// Output: row 700: level 40, score 0.99
}
