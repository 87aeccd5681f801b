package api

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/replay"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

// maxRehearsed bounds the devices of a rehearsal, which replays one after the other.
const maxRehearsed = 500

type rehearsalIn struct {
	Body struct {
		rollout.Spec
		Rehearse int64 `json:"rehearse_s" minimum:"60" maximum:"315360000" doc:"length of the period to replay, in seconds before each device's newest label"`
	}
}

// Rehearsed is what a rollout would come to by the targets' own recorded rows.
type Rehearsed struct {
	Task    string              `json:"task"`
	Digest  string              `json:"digest"`
	Spec    rollout.Spec        `json:"spec" doc:"with the defaults filled in"`
	Devices []*replay.Rehearsal `json:"devices" doc:"in the order in which they would start"`
	Cohorts []*replay.Rehearsal `json:"cohorts" doc:"the devices of each cohort together, \"\" for those without one"`
	All     *replay.Rehearsal   `json:"all" doc:"all devices together"`
	Vetoes  int                 `json:"vetoes" doc:"devices that would veto the candidate"`
	Expect  string              `json:"expect" enum:"pass,fail,inconclusive" doc:"by all devices together: surely not worse than max_regression allows, surely worse, or neither"`
	// Takes is the time from the creation to the last stage.
	Takes float64 `json:"takes_s" doc:"expected seconds until the last stage is through: min_shadow labelled rows of the slowest device, and its probation in every stage; 0: not known"`
}

// rehearsal adds the rehearsal of a controller's rollouts.
func (s *Server) rehearsal(c *rollout.Controller) {
	o := op("POST", "/v1/rollouts/rehearse", "rollout-rehearse", "rollouts", "Replay a candidate over the targets' own recorded rows, without creating anything")
	o.Description = "Replays each target's history from the lake, as it was and with the candidate from the period's beginning on, with everything that devices learn and labels as late as they came. " +
		"It takes as long as the replays, one device after the other; GET /v1/replay says how far the present one has come. At most " + fmt.Sprint(maxRehearsed) + " devices."
	register(s, Operator, o, func(ctx context.Context, in *rehearsalIn) (*body[*Rehearsed], error) {
		return reply(s.rehearse(ctx, c, in.Body.Spec, time.Duration(in.Body.Rehearse)*time.Second))
	})
}

func (s *Server) rehearse(ctx context.Context, c *rollout.Controller, want rollout.Spec, period time.Duration) (*Rehearsed, error) {
	plan, err := c.Plan(ctx, want)
	if err != nil {
		return nil, err
	}
	if n := len(plan.Devices); n > maxRehearsed {
		return nil, bad("the rollout has %d targets, a rehearsal takes at most %d: name some by devices, or a cohort", n, maxRehearsed)
	}
	t := plan.Spec.Trial()
	out := &Rehearsed{Task: plan.Task, Digest: plan.Digest, Spec: plan.Spec, Devices: []*replay.Rehearsal{}, Cohorts: []*replay.Rehearsal{}}
	byCohort := map[string][]*replay.Rehearsal{}
	var cohorts []string
	for _, d := range plan.Devices {
		x, err := s.Replay.Rehearse(ctx, d.Device, plan.Task, plan.Digest, period, t, nil)
		if err != nil {
			return nil, err
		}
		dev, err := s.DB.Read().Device(ctx, d.Device)
		if err != nil {
			return nil, err
		}
		x.Cohort = dev.Cohort
		if x.Veto != "" {
			out.Vetoes++
		}
		if byCohort[x.Cohort] == nil {
			cohorts = append(cohorts, x.Cohort)
		}
		byCohort[x.Cohort] = append(byCohort[x.Cohort], x)
		out.Devices = append(out.Devices, x)
	}
	slices.Sort(cohorts)
	for _, name := range cohorts {
		out.Cohorts = append(out.Cohorts, replay.Join(name, byCohort[name], t))
	}
	out.All = replay.Join("", out.Devices, t)
	out.Expect = expected(out.All.Model, t)
	out.Takes = out.All.ShadowS + float64(len(plan.Spec.Stages))*out.All.ProbateS
	return out, nil
}

// expected is the verdict that the recorded rows lead to.
func expected(c replay.Change, t spec.Trial) string {
	limit := meta.Float(t.MaxRegression) * c.Incumbent
	switch {
	case math.IsNaN(float64(c.Half)):
		return "inconclusive"
	case c.Diff-c.Half > limit:
		return "fail"
	case c.Diff+c.Half <= limit:
		return "pass"
	}
	return "inconclusive"
}
