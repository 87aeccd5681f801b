package source

import "strings"

// spellings are units as senders write them, and one spelling for each.
var spellings = map[string]string{
	"c": "°C", "ºc": "°C", "℃": "°C", "degc": "°C", "deg c": "°C", "celsius": "°C", "°c": "°C", "° c": "°C",
	"f": "°F", "ºf": "°F", "℉": "°F", "degf": "°F", "deg f": "°F", "fahrenheit": "°F", "°f": "°F", "° f": "°F",
	"percent": "%", "pct": "%", "%rh": "%", "mbar": "hPa", "mb": "hPa", "hpa": "hPa",
	"sec": "s", "secs": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min", "mins": "min",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "r/min": "rpm", "1/min": "rpm",
	"liter": "l", "litre": "l", "liters": "l", "litres": "l", "lux": "lx",
}

// unitName is a unit in one spelling: of signs that look alike, powers, the liter's letter and
// common names. Units whose case tells them apart (mW, MW) keep it.
func unitName(unit string) string {
	u := strings.TrimSpace(unit)
	if one := spellings[strings.ToLower(u)]; one != "" && u != "F" && u != "C" { // farad, coulomb: as they stand
		return one
	}
	u = strings.NewReplacer("μ", "µ", "^2", "²", "^3", "³", "m2", "m²", "m3", "m³").Replace(u)
	if len(u) > 1 && u[0] == 'u' && strings.ContainsRune("gmslAVW", rune(u[1])) {
		u = "µ" + u[1:]
	}
	parts := strings.Split(u, "/")
	for i, p := range parts {
		if p == "L" || strings.HasSuffix(p, "mL") || strings.HasSuffix(p, "µL") {
			parts[i] = strings.TrimSuffix(p, "L") + "l"
		}
	}
	return strings.Join(parts, "/")
}

// sameUnit reports whether two units are one; ° alone is any degree, and C and F may be degrees.
func sameUnit(a, b string) bool {
	degree := func(u string) string { return strings.TrimPrefix(unitName(u), "°") }
	a, b = degree(a), degree(b)
	return a == b || a == "" || b == ""
}
