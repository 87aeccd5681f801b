// Command infer measures how fast an ensemble predicts. peers.py trains models, dumps them in the
// form that this command reads, and compares with other libraries.
//
//	SKERRY_KERNEL=avx2 go run ./test/bench/infer -model /tmp/infer/D
//
// MODEL.bin is little endian: trees i32, features i32, then by tree its nodes i32, and by node left
// i32, right i32, feature i32, value f32; left is -1 for a leaf whose value it is, else float32
// inputs below the value go left. MODEL.rows holds float32 rows, MODEL.pred the margin of each as
// float32. A hub over HTTP has a rate limit for each caller; docs/performance/inference.md says
// what to set before measuring one. The measured time includes everything from a float64 row to a
// score; it is processor time of one thread.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry.dev/compute/ensemble"
)

type result struct {
	Model  string  `json:"model"`
	Kernel string  `json:"kernel"`
	Batch  int     `json:"batch"`
	Median float64 `json:"ns_per_row_median"`
	Least  float64 `json:"ns_per_row_least"`
}

func main() {
	log.SetFlags(0)
	model := flag.String("model", "", "path of a dump without its ending")
	batches := flag.String("batch", "1,1024", "rows of a call")
	runs := flag.Int("runs", 9, "runs of which the median is taken")
	length := flag.Duration("run-time", 30*time.Millisecond, "length of a run")
	flag.Parse()
	if _, reason := ensemble.Kernel(); reason != "" {
		log.Fatal(reason)
	}
	e, err := load(*model + ".bin")
	if err != nil {
		log.Fatal(err)
	}
	x, err := numbers(*model + ".rows")
	if err != nil {
		log.Fatal(err)
	}
	want, err := numbers(*model + ".pred")
	if err != nil {
		log.Fatal(err)
	}
	rows := len(x) / e.Inputs()
	dst := make([]float64, rows)
	if err := e.PredictBatch(dst, x, 1); err != nil {
		log.Fatal(err)
	}
	for i, w := range want {
		if math.Abs(dst[i]-w) > 1e-3 {
			log.Fatalf("row %d: %v, the library says %v", i, dst[i], w)
		}
	}
	runtime.LockOSThread()
	for _, b := range strings.Split(*batches, ",") {
		n, err := strconv.Atoi(b)
		if err != nil || n < 1 || n > rows {
			log.Fatalf("-batch %s: must be 1 to %d", b, rows)
		}
		r := result{Model: *model, Kernel: e.KernelBatch(), Batch: n}
		if n == 1 {
			r.Kernel = e.KernelSingle()
		}
		r.Median, r.Least = measure(*runs, *length, rows/n*n, func() {
			for at := 0; at+n <= rows; at += n {
				in := x[at*e.Inputs():][:n*e.Inputs()]
				if n == 1 {
					err = e.PredictInto(dst[at:at+1], in)
				} else {
					err = e.PredictBatch(dst[at:at+n], in, 1)
				}
				if err != nil {
					log.Fatal(err)
				}
			}
		})
		line, _ := json.Marshal(r) // numbers and strings
		fmt.Println(string(line))
	}
}

// measure returns the median and the least time per row, in nanoseconds.
func measure(runs int, length time.Duration, rows int, pass func()) (median, least float64) {
	pass()
	times := make([]float64, runs)
	for i := range times {
		began, passes := now(), 0
		for now()-began < length {
			pass()
			passes++
		}
		times[i] = float64(now()-began) / float64(passes*rows)
	}
	slices.Sort(times)
	return times[len(times)/2], times[0]
}

func load(path string) (*ensemble.Ensemble, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	next := func() int {
		v := int32(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return int(v)
	}
	trees := make([]ensemble.Tree, next())
	features := next()
	for t := range trees {
		trees[t] = make(ensemble.Tree, next())
		for i := range trees[t] {
			left, right, feature := next(), next(), next()
			value := math.Float32frombits(uint32(next()))
			if left < 0 {
				trees[t][i].Value = float64(value)
				continue
			}
			below := math.Nextafter32(value, float32(math.Inf(-1)))
			trees[t][i] = ensemble.Node{Feature: feature, Threshold: float64(below), Left: left, Right: right}
		}
	}
	return ensemble.Build(ensemble.Spec{Inputs: features, Base: []float64{0}, Round32: true}, trees)
}

func numbers(path string) ([]float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := make([]float64, len(b)/4)
	for i := range v {
		v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return v, nil
}
