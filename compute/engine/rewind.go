package engine

// Arrived returns when the newest message arrived, NoArrival before the first.
func (e *Engine) Arrived() int64 { return e.arrived }

// Rewind takes back how far event time has come: a clock that gave readings their times was ahead
// and has been set to now, microseconds. Rows that wait, readings and predictions of later times
// are given up, so that readings of the present make rows again; what has been learned stays. It
// does nothing where no reading is of a time later than ahead after now.
func (e *Engine) Rewind(now, ahead int64) bool {
	e.arrived = now
	if !e.join.started || e.join.read <= now+ahead {
		return false
	}
	e.join.rewind(now)
	for e.pend.n > 0 && e.pend.at(e.pend.n-1).row > now {
		e.pend.n--
		e.stats.GivenUp++
	}
	return true
}

// rewind forgets what is later than now.
func (j *joiner) rewind(now int64) {
	for i, s := range j.series {
		j.series[i] = s[:upTo(s, now)]
	}
	j.truth = j.truth[:upTo(j.truth, now)]
	for len(j.due) > 0 && j.due[len(j.due)-1] > now {
		j.due = j.due[:len(j.due)-1]
	}
	j.newest, j.read = now, now
	j.fired = min(j.fired, now)
	if j.cfg.Every > 0 {
		j.fired = min(j.fired, floorTo(now-1, j.cfg.Every))
	}
	j.overtaken.InARow = 0
}
