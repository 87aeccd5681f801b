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

// usualUnits are units in common use, in one spelling.
var usualUnits = func() map[string]bool {
	units := map[string]bool{}
	for _, u := range strings.Fields(`K ‰ V mV kV A mA W mW kW MW GW Wh kWh MWh Ah VA kVA var Hz kHz MHz GHz Pa kPa MPa bar psi
		m mm cm km m/s km/h mph kn l ml l/min l/h l/s m² m³ m³/h m³/s kg g mg µg t lb lx lm cd ppm ppb µg/m³ mg/m³ g/m³
		dB dBm dB(A) rpm s ms µs min h d N kN Nm J kJ MJ pH ° µm µS/cm mS/cm NTU W/m² kWh/m² € $ £ B kB MB GB`) {
		units[u] = true
	}
	for _, u := range spellings {
		units[u] = true
	}
	return units
}()

// usual reports whether a text is a unit in common use, and not only something behind a number.
func usual(unit string) bool { return usualUnits[unitName(unit)] }

// sameUnit reports whether two units are one; ° alone is any degree, and C and F may be degrees.
func sameUnit(a, b string) bool {
	degree := func(u string) string { return strings.TrimPrefix(unitName(u), "°") }
	a, b = degree(a), degree(b)
	return a == b || a == "" || b == ""
}
