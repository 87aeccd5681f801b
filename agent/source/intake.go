package source

// intake is what every way in does with a payload: it decodes, counts and reports.
type intake struct {
	m      *metrics
	log    *complaints
	inputs *Inputs
}

// arrived is how a payload came.
type arrived struct {
	at       int64 // the device's clock in microseconds
	clockOK  bool  // which is right
	retained bool
}

// account returns the readings of a payload and counts and reports everything else in it.
func (in *intake) account(dec *Decoder, topic string, payload []byte, how arrived) []Reading {
	in.m.messages.Inc()
	if dec.Now = 0; how.clockOK {
		dec.Now = how.at
	}
	out, err := dec.Decode(topic, payload)
	name := clip(topic)
	if err != nil {
		de := err.(*DecodeError)
		in.m.errors.WithLabelValues(string(de.Kind)).Inc()
		in.log.warn(name+"\x00"+string(de.Kind), "payload refused", "topic", name, "kind", de.Kind, "err", err)
		in.tell(in.inputs.refuse(dec.plan, dec.topics[topic], err, how.at))
		return nil
	}
	if !out.Known {
		in.m.unknown.Inc()
		in.log.warn("unknown", "message on a topic that no task reads", "topic", name)
		return nil
	}
	in.m.missing.Add(float64(out.Missing))
	for _, p := range out.Problems {
		in.m.errors.WithLabelValues(string(p.Kind)).Inc()
		in.log.warn(name+"\x00"+string(p.Kind), "reading refused", "topic", name, "kind", p.Kind, "err", p)
	}
	for kind, n := range out.More {
		in.m.errors.WithLabelValues(string(kind)).Add(float64(n))
	}
	for i := range out.Readings {
		if !out.Readings[i].HasTime {
			out.Readings[i].Time = how.at
		}
	}
	in.tell(in.inputs.note(dec.plan, topic, payload, out, how))
	in.m.readings.Add(float64(len(out.Readings)))
	return out.Readings
}

// tell passes on what is new of inputs.
func (in *intake) tell(fresh []news) {
	for i := range fresh {
		in.inputs.tell(&fresh[i].st, fresh[i].kind, fresh[i].what)
	}
}
