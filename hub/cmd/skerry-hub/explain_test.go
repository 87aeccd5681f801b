package main

import (
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/sync/spec"
)

// TestTables holds what fit, evaluate and explain print for people, of a regression and of classes.
func TestTables(t *testing.T) {
	data, dir := writeTemp(t, "flats.csv", []byte(flats(400))), t.TempDir()
	price, sold := filepath.Join(dir, "price.skerry"), filepath.Join(dir, "sold.skerry")
	prints(t, `^regression of price \(task price\) learner linear rows \d+ to learn from, \d+ to test \(split by hash\) columns 3 inputs, \d+ features left out day: a time RMSE \S+ MAE \S+ R² 0\.9\d+ worth size \S+ Town \S+ noise \S+ time \S+ s, peak memory \d+ MiB artifact [0-9a-f]{64}, \d+ bytes, in `,
		"fit", "--data", data, "--target", "price", "--drop", "sold,part", "--learner", "linear", "--out", price)
	prints(t, `^classification of sold \(task flat\) learner gbdt, the best of 2 trials rows 300 to learn from, 100 to test \(split by part=test\) .* AUC 0\.\d+ accuracy 0\.\d+ log loss \S+ macro F1 0\.\d+ worth `,
		"fit", "--data", data, "--target", "sold", "--drop", "price", "--split", "part=test", "--task", "flat", "--learner", "gbdt", "--trials", "2", "--out", sold)
	prints(t, `^model [0-9a-f]{12} \(regression of task price, linear\) rows 400 RMSE \S+ MAE \S+ R² \S+ interval coverage 0\.\d+$`,
		"evaluate", "--model", price, "--data", data)
	prints(t, `^model [0-9a-f]{12} \(classification of task flat, gbdt\) rows 400 AUC \S+ accuracy \S+ log loss \S+ macro F1 \S+$`,
		"evaluate", "--model", sold, "--data", data)
	prints(t, `^model [0-9a-f]{12} \(regression of task price, linear\) method \w+.* on 40 rows, from \S+ feature mean \|contribution\| mean (size|Town=?\w*) \S+ [+-]\S+ .* shuffled loss rises by \S+ \+\S+ .* size prediction \S+ \S+ \S+ \S+ \S+ \S+$`,
		"explain", "--model", price, "--data", data, "--rows", "40", "--permutation", "--dependence", "size", "--points", "3")
	prints(t, `method tree-shap on 40 rows, from \S+ class yes feature `, "explain", "--model", sold, "--data", data, "--rows", "40", "--class", "yes")

	garbage, text := writeTemp(t, "m.skerry", []byte("no artifact")), writeTemp(t, "t.csv", []byte("a,b\n1,2\n"))
	for _, command := range []string{"evaluate", "explain"} {
		refused(t, "no such file", command, "--model", filepath.Join(dir, "none.skerry"), "--data", data)
		refused(t, garbage, command, "--model", garbage, "--data", data)
		refused(t, "no such file", command, "--model", price, "--data", filepath.Join(dir, "none.csv"))
		refused(t, `no column "`, command, "--model", price, "--data", text)
		refused(t, `required flag(s) "model"`, command, "--data", data)
		refused(t, `required flag(s) "data"`, command, "--model", price)
	}
	refused(t, `no column "worth"`, "evaluate", "--model", price, "--data", data, "--target", "worth")
	refused(t, `that of "no" is the opposite`, "explain", "--model", sold, "--data", data, "--class", "no")
	refused(t, `"maybe"`, "explain", "--model", sold, "--data", data, "--class", "maybe")
	refused(t, `"garden"`, "explain", "--model", price, "--data", data, "--dependence", "garden")
	refused(t, "must be name=expression", "fit", "--data", data, "--target", "price", "--feature", "size")
	refused(t, `feature "size": needs a name that no column`, "fit", "--data", data, "--target", "price", "--trials", "1", "--feature", "size=size + 1")
	refused(t, garbage, "import-model", garbage, "--out", filepath.Join(dir, "x.skerry"))
	refused(t, "no such file", "import-model", filepath.Join(dir, "none.onnx"), "--task", "t", "--out", filepath.Join(dir, "x.skerry"))
	refused(t, "no such file", "export-model", filepath.Join(dir, "none.skerry"), "--format", "onnx", "--out", "-")
	if left, err := filepath.Glob(filepath.Join(dir, "x.*")); err != nil || len(left) != 0 {
		t.Errorf("a refused import leaves %v, %v", left, err)
	}
}

// TestRolloutShowsDevices: the plan and the rollout name every device with its stage, its link and
// what it runs; who is not aimed at is in neither.
func TestRolloutShowsDevices(t *testing.T) {
	t.Setenv("RATE_LIMIT_ENABLED", "false") // await asks often
	url := serveHub(t, "--no-auto-train")
	must(t, "import-model", writeTemp(t, "m.skerry", sampleArtifact(t, 0.1)))
	for _, name := range []string{"pump-1", "pump-2", "pump-3"} {
		enrol(t, url, name).report(spec.Reported{Health: "ok", Tasks: map[string]spec.ReportedTask{
			"pm25-next-hour": {Kind: "forecast", Spec: taskFile, SpecHash: "h"},
		}})
	}
	const model = "pm25-next-hour@1"
	await(t, "the links of the devices", func() bool {
		return strings.Count(must(t, "rollout", "create", model, "--dry-run"), " yes ") == 3
	})
	prints(t, `^Rolling out pm25-next-hour@1 would run it in shadow on 3 devices, 0 of them without a link now\. DEVICE STAGE LINK LINKED 14 D LONGEST AWAY SEEN RUNS (pump-\d \w+ yes .* baselines ?){3}$`,
		"rollout", "create", model, "--dry-run")
	prints(t, `on 2 devices.* pump-[13] one yes .* pump-[13] all yes `, "rollout", "create", model, "--dry-run", "--devices", "pump-1,pump-3", "--stage", "one=50:1", "--stage", "all=100")
	prints(t, `on 0 devices`, "rollout", "create", model, "--dry-run", "--cohort", "gamma")

	var r struct{ ID string }
	decode(t, must(t, "rollout", "create", model, "--devices", "pump-1,pump-3", "--json"), &r)
	prints(t, `It cannot be created now: .*under way`, "rollout", "create", model, "--dry-run")
	await(t, "the devices of the rollout", func() bool { return strings.Contains(must(t, "rollout", "show", r.ID), "2: ") })
	out := must(t, "rollout", "show", r.ID)
	if strings.Contains(out, "pump-2") {
		t.Errorf("rollout show = %s, want no device that is not aimed at", out)
	}
	prints(t, `^rollout `+r.ID+` model pm25-next-hour@1 [0-9a-f]{64} state running stage shadow \w+ \(shadow → canary → all\) .*devices 2: 0 shadow, 0 probation, 0 active, 2 waiting, .* created \S+ by \S+ DEVICE LINK WANTED PHASE LABELLED CANDIDATE INCUMBENT P99 REASON pump-1 yes shadow .* 0 - - 0 µs .*pump-3 yes shadow `,
		"rollout", "show", r.ID)
	refused(t, "not found", "rollout", "show", "r-none")
}
