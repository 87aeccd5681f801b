package anomaly

import (
	"testing"
)

// go test ./compute/anomaly -run '^$' -bench Update
func BenchmarkUpdate(b *testing.B) {
	for _, c := range []struct {
		name    string
		columns int
	}{{"seasonal", 1}, {"pca", 8}, {"half-space-trees", 8}, {"isolation-forest", 8}, {"random-cut-forest", 8}} {
		b.Run("detector="+c.name, func(b *testing.B) {
			s, err := New(c.name, nil, Schema{Columns: make([]string, c.columns), Timed: true})
			if err != nil {
				b.Fatal(err)
			}
			rows := stream(10_000, c.columns, 1)
			for i, x := range rows {
				s.Update(x, int64(i)*minute)
			}
			b.ReportAllocs()
			i := len(rows)
			for b.Loop() {
				s.Update(rows[i%len(rows)], int64(i)*minute)
				i++
			}
			b.ReportMetric(float64(s.Bytes()), "B-held")
		})
	}
}
