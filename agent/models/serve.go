package models

import "skerry.dev/sync/oip"

// List implements oip.Repository: the tasks that have a champion. Inference by request never
// touches the tasks' engines.
func (ms *Models) List() []string {
	var out []string
	for _, t := range ms.runtime.Status().Tasks {
		if t.Engine.Champion != "" {
			out = append(out, t.Spec.Name)
		}
	}
	return out
}

// Get implements oip.Repository. A version is the name in use ("pm25-next-hour@3") or a
// digest.
func (ms *Models) Get(name, version string) (oip.Model, bool) {
	for _, t := range ms.runtime.Status().Tasks {
		if t.Spec.Name != name || t.Engine.Champion == "" || version != "" && version != t.Version && version != t.Engine.Champion {
			continue
		}
		loaded, err := ms.model(t.Engine.Champion)
		if err != nil {
			return nil, false
		}
		return oip.FromArtifact(name, t.Version, loaded.runner.Artifact()), true
	}
	return nil, false
}
