package source

// intake is what every way in does with a payload: it decodes, counts and reports.
type intake struct {
	m      *metrics
	log    *complaints
	inputs *Inputs
}

// account returns the readings of a payload and counts and reports everything else in it. arrival
// is the device's clock in microseconds, which is right when clockOK says so.
func (in *intake) account(dec *Decoder, topic string, payload []byte, arrival int64, clockOK bool) []Reading {
	in.m.messages.Inc()
	if dec.Now = 0; clockOK {
		dec.Now = arrival
	}
	out, err := dec.Decode(topic, payload)
	if err != nil {
		de := err.(*DecodeError)
		in.m.errors.WithLabelValues(string(de.Kind)).Inc()
		in.log.warn(topic+"\x00"+string(de.Kind), "payload refused", "topic", topic, "kind", de.Kind, "err", err)
		in.inputs.refuse(dec.plan, dec.topics[topic], err)
		return nil
	}
	if !out.Known {
		in.m.unknown.Inc()
		in.log.warn("unknown", "message on a topic that no task reads", "topic", topic)
		return nil
	}
	in.m.missing.Add(float64(out.Missing))
	for _, p := range out.Problems {
		in.m.errors.WithLabelValues(string(p.Kind)).Inc()
		in.log.warn(topic+"\x00"+string(p.Kind), "reading refused", "topic", topic, "kind", p.Kind, "err", p)
	}
	for i := range out.Readings {
		if !out.Readings[i].HasTime {
			out.Readings[i].Time = arrival
		}
	}
	in.inputs.note(dec.plan, dec.topics[topic], out, arrival)
	in.m.readings.Add(float64(len(out.Readings)))
	return out.Readings
}
