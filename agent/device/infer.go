package device

import "skerry.dev/sync/oip"

// models serves the champions of the tasks by the Open Inference Protocol. Inference by request
// never touches the tasks' engines.
type models struct{ d *Device }

// List implements oip.Repository.
func (m models) List() []string {
	var out []string
	for _, t := range m.d.runtime.Status().Tasks {
		if t.Engine.Champion != "" {
			out = append(out, t.Spec.Name)
		}
	}
	return out
}

// Get implements oip.Repository. A version is the name people know ("pm25-next-hour@3") or a
// digest.
func (m models) Get(name, version string) (oip.Model, bool) {
	for _, t := range m.d.runtime.Status().Tasks {
		if t.Spec.Name != name || t.Engine.Champion == "" || version != "" && version != t.Version && version != t.Engine.Champion {
			continue
		}
		loaded, err := m.d.bridge.model(t.Engine.Champion)
		if err != nil {
			return nil, false
		}
		return oip.FromArtifact(name, t.Version, loaded.runner.Artifact()), true
	}
	return nil, false
}
