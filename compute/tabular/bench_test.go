package tabular

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkRead reads a table of numbers, times and categories.
//
//	go test ./compute/tabular -run '^$' -bench Read
func BenchmarkRead(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var text bytes.Buffer
	text.WriteString("ts,a,b,c,d,e,f,kind\n")
	const rows = 20_000
	for i := range rows {
		fmt.Fprintf(&text, "2020-01-%02d %02d:%02d:00", 1+i/1440%28, i/60%24, i%60)
		for range 6 {
			fmt.Fprintf(&text, ",%.4f", rng.NormFloat64())
		}
		fmt.Fprintf(&text, ",kind %d\n", rng.IntN(20))
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if f, err := Read(bytes.NewReader(text.Bytes()), Options{}); err != nil || f.Rows != rows {
			b.Fatal(err)
		}
	}
}
