package mondrian_test

import (
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding/streams"
	"skerry.dev/compute/online/mondrian"
	"skerry.dev/compute/online/onlinetest"
)

func TestKeepTheContract(t *testing.T) {
	const budget = 2 << 20
	o := mondrian.Options{MaxBytes: budget, Seed: 1}
	t.Run("classifier", func(t *testing.T) {
		onlinetest.Classifier(t, budget, func(s online.Schema) online.Classifier {
			c, err := mondrian.NewClassifier(s, o)
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
	})
	t.Run("regressor", func(t *testing.T) {
		onlinetest.Regressor(t, budget, func(s online.Schema) online.Regressor {
			r, err := mondrian.NewRegressor(s, o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
	})
}

// read returns a public stream, or skips the test.
func read(t *testing.T, file, target string, regression bool) *streams.Stream {
	t.Helper()
	dir := os.Getenv("SKERRY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "drift")); err != nil {
		t.Skipf("needs the public data sets: set SKERRY_DATA to their folder (%v)", err)
	}
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := streams.Read(f, target, regression)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOnPublicStreams holds the forests to what river's benchmark page publishes, within 1.5 points and 1 %.
func TestOnPublicStreams(t *testing.T) {
	for _, tt := range []struct {
		file, target string
		published    float64
	}{
		{"drift/river_phishing.csv.gz", "is_phishing", 0.905},
		{"drift/river_bananas.csv.gz", "target", 0.889},
		{"drift/elec2.csv.gz", "class", 0.850},
		{"drift/river_image_segments.csv.gz", "category", 0.902},
	} {
		s := read(t, tt.file, tt.target, false)
		c, err := mondrian.NewClassifier(s.Schema, mondrian.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		got := s.Accuracy(c)
		t.Logf("%-36s %.4f, river %.3f, %d nodes, %d kB", tt.file, got, tt.published, c.Nodes(), c.Bytes()/1000)
		if got < tt.published-0.015 {
			t.Errorf("%s: accuracy %.4f, want %.3f less 0.015", tt.file, got, tt.published)
		}
	}
	s := read(t, "drift/river_trump_approval.csv.gz", "five_thirty_eight", true)
	r, err := mondrian.NewRegressor(s.Schema, mondrian.Options{Seed: 1, Unscaled: true}) // as on that page
	if err != nil {
		t.Fatal(err)
	}
	got := s.Error(r)
	t.Logf("trump approval %.4f, river 0.269", got)
	if got > 0.269*1.01 {
		t.Errorf("trump approval: mean absolute error %.4f, want 0.269 at most", got)
	}
}
