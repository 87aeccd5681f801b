// Command online plays streams to the online trees and forests prequentially, each row predicted
// before it is learned, on one core. It prints accuracies and errors as means over seeds beside
// those of river's benchmark page, and rows a second with the size of the state on a generated
// stream.
//
//	go run ./test/bench/online --data ../shared/data --seeds 5
//	go run ./test/bench/online --speed --rows 100000 --python python3 --moa moa.jar:weka.jar
//
// With --python, whose interpreter needs river, and with --moa, MOA's class path, the same rows
// in the same order are played to their learners one after the other; a learner is stopped after
// --patience and its rate taken from the rows it had.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
	"skerry.dev/compute/online/hoeffding/streams"
	"skerry.dev/compute/online/mondrian"
)

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	seeds := flag.Int("seeds", 5, "seeds")
	timing := flag.Bool("speed", false, "time the learners on a generated stream instead")
	rows := flag.Int("rows", 100_000, "rows of the generated stream")
	inputs := flag.Int("inputs", 30, "its inputs, all numbers")
	python := flag.String("python", "", "with --speed: interpreter that has river, to time it too")
	moa := flag.String("moa", "", "with --speed: class path of MOA, to time it too (needs java 17 or newer)")
	patience := flag.Int("patience", 120, "seconds that one of their learners may take")
	scripts := flag.String("peers", "test/bench/online", "folder of the programs that run them")
	flag.Parse()
	var err error
	if *timing {
		var peers []peer
		if *python != "" {
			peers = append(peers, peer{"river", []string{*python, filepath.Join(*scripts, "peers.py")}})
		}
		if *moa != "" {
			peers = append(peers, peer{"MOA", []string{"java", "-cp", *moa, filepath.Join(*scripts, "Peer.java")}})
		}
		err = speed(*rows, *inputs, peers, *patience)
	} else {
		err = accuracy(*data, *seeds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "online:", err)
		os.Exit(1)
	}
}

// classifiers are the learners that are compared, with the accuracies of river's page on
// Phishing, Bananas, Elec2 and ImageSegments; 0 where it has none.
var classifiers = []struct {
	name      string
	peer      string
	published [4]float64
	make      func(s online.Schema, seed uint64) (online.Classifier, error)
}{
	{"Hoeffding tree", "ht", [4]float64{0.880, 0.642, 0.796, 0.776}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewTree(s, hoeffding.Options{Seed: seed})
	}},
	{"HAT", "hat", [4]float64{0.874, 0.617, 0.821, 0.774}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: hoeffding.Options{Seed: seed}})
	}},
	{"EFDT", "efdt", [4]float64{}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewFast(s, hoeffding.FastOptions{Options: hoeffding.Options{Seed: seed}})
	}},
	{"leveraging bagging", "bagging", [4]float64{0.894, 0.828, 0.893, 0.778}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewBagging(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	}},
	{"ARF, 10 trees", "arf", [4]float64{0.908, 0.887, 0.877, 0.819}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewForest(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	}},
	{"SRP, 10 trees", "srp", [4]float64{0.914, 0.872, 0.869, 0.767}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewPatches(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	}},
	{"AMF, 10 trees", "amf", [4]float64{0.905, 0.889, 0.850, 0.902}, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return mondrian.NewClassifier(s, mondrian.Options{Seed: seed})
	}},
}

// regressors have the mean absolute errors on TrumpApproval and ChickWeights. That of
// bike_sharing_hour in time order is not on the page.
var regressors = []struct {
	name      string
	published [3]float64
	make      func(s online.Schema, seed uint64) (online.Regressor, error)
}{
	{"Hoeffding tree", [3]float64{0.956, 23.16, 0}, func(s online.Schema, seed uint64) (online.Regressor, error) {
		return hoeffding.NewRegressionTree(s, hoeffding.RegressionOptions{Seed: seed})
	}},
	{"ARF, 10 trees", [3]float64{0.800, 26.10, 0}, func(s online.Schema, seed uint64) (online.Regressor, error) {
		return hoeffding.NewRegressionForest(s, hoeffding.RegressionForestOptions{RegressionOptions: hoeffding.RegressionOptions{Seed: seed}})
	}},
	{"AMF, inputs in their own units", [3]float64{0.269, 0, 0}, func(s online.Schema, seed uint64) (online.Regressor, error) {
		return mondrian.NewRegressor(s, mondrian.Options{Seed: seed, Unit: mondrian.Own})
	}},
	{"AMF", [3]float64{0.269, 0, 0}, func(s online.Schema, seed uint64) (online.Regressor, error) {
		return mondrian.NewRegressor(s, mondrian.Options{Seed: seed})
	}},
}

func accuracy(data string, seeds int) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	var all [4]*streams.Stream
	for i, f := range [4][2]string{{"river_phishing", "is_phishing"}, {"river_bananas", "target"}, {"elec2", "class"}, {"river_image_segments", "category"}} {
		s, err := read(filepath.Join(data, "drift", f[0]+".csv.gz"), f[1], false)
		if err != nil {
			return err
		}
		all[i] = s
	}
	fmt.Fprintf(w, "accuracy, mean of %d seeds (river's page)\tPhishing\tBananas\tElec2\tImageSegments\n", seeds)
	for _, l := range classifiers {
		fmt.Fprint(w, l.name)
		for i, s := range all {
			var mean float64
			for seed := range uint64(seeds) {
				c, err := l.make(s.Schema, seed)
				if err != nil {
					return err
				}
				mean += s.Accuracy(c) / float64(seeds)
			}
			fmt.Fprintf(w, "\t%.4f %s", mean, published(l.published[i]))
		}
		fmt.Fprintln(w)
		w.Flush()
	}
	var numbers [3]*streams.Stream
	for i, f := range [3][2]string{{"drift/river_trump_approval", "five_thirty_eight"}, {"drift/river_chick_weights", "weight"}, {"tabular/bike_sharing_hour", "cnt"}} {
		s, err := read(filepath.Join(data, f[0]+".csv.gz"), f[1], true, "instant", "dteday", "casual", "registered")
		if err != nil {
			return err
		}
		numbers[i] = s
	}
	fmt.Fprintf(w, "\nmean absolute error, mean of %d seeds\tTrumpApproval\tChickWeights\tbike sharing\n", seeds)
	for _, l := range regressors {
		fmt.Fprint(w, l.name)
		for i, s := range numbers {
			var mean float64
			for seed := range uint64(seeds) {
				r, err := l.make(s.Schema, seed)
				if err != nil {
					return err
				}
				mean += s.Error(r) / float64(seeds)
			}
			fmt.Fprintf(w, "\t%.4g %s", mean, published(l.published[i]))
		}
		fmt.Fprintln(w)
		w.Flush()
	}
	return nil
}

func read(file, target string, regression bool, without ...string) (*streams.Stream, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return streams.Read(f, target, regression, without...)
}

func published(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("(%.4g)", v)
}
