package configs

import (
	"fmt"
	"regexp"
)

// MonitoringConfig is monitoring_config.yml: what the hub measures, what raises an alert and what is
// promised. It is read and checked; nothing of it has an effect in this version.
type MonitoringConfig struct {
	Monitoring MonitoringRules `yaml:"monitoring"`
}

// MonitoringRules is the whole of the file.
type MonitoringRules struct {
	Metrics MetricRules `yaml:"metrics"`
	Alerts  []AlertRule `yaml:"alerts" unbuilt:"no alerts are raised from it; alarms of devices stand on the events page"`
	SLA     SLA         `yaml:"sla"`
}

// MetricRules define how often the hub samples its metrics and how long it keeps them.
type MetricRules struct {
	// CollectionInterval is in seconds, RetentionDays in days.
	CollectionInterval int `yaml:"collection_interval" check:"0..86400" unbuilt:"metrics are read at /metrics whenever somebody asks"`
	RetentionDays      int `yaml:"retention_days" check:"0..36500" unbuilt:"the hub keeps no history of its metrics"`
}

// AlertRule raises an alert while its condition holds.
type AlertRule struct {
	Name      string `yaml:"name"`
	Condition string `yaml:"condition"`
	Severity  string `yaml:"severity"`
}

// SLA is what is promised: Availability in percent, ResponseTimeP95 in milliseconds, ErrorRate as a
// share.
type SLA struct {
	Availability    float64 `yaml:"availability" check:"0..100" unbuilt:"nothing is measured against it"`
	ResponseTimeP95 float64 `yaml:"response_time_p95" check:"0..3600000" unbuilt:"nothing is measured against it"`
	ErrorRate       float64 `yaml:"error_rate" check:"0..1" unbuilt:"nothing is measured against it"`
}

// comparison is a condition: a variable, a comparison and a number.
var comparison = regexp.MustCompile(`^\s*[a-z][a-z0-9_]*\s*(<|<=|>|>=|==|!=)\s*[-+]?[0-9]*\.?[0-9]+\s*$`)

func (c *MonitoringConfig) check(bad report) {
	seen := map[string]bool{}
	for i, a := range c.Monitoring.Alerts {
		at := fmt.Sprintf("monitoring.alerts[%d]", i)
		switch {
		case a.Name == "":
			bad(at, "needs a name")
		case seen[a.Name]:
			bad(at, fmt.Sprintf("the name %q is taken by another alert", a.Name))
		case !comparison.MatchString(a.Condition):
			bad(at, fmt.Sprintf("condition %q: must be a variable, a comparison and a number, for example error_rate > 0.05", a.Condition))
		case !oneOf(a.Severity, "info", "warning", "critical"):
			bad(at, fmt.Sprintf("severity %q: must be info, warning or critical", a.Severity))
		}
		seen[a.Name] = true
	}
}
