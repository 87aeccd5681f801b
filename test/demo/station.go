package main

import (
	"strings"

	"skerry.dev/test/rig"
)

// subject is what a demonstration predicts.
type subject struct {
	task, target string
	topic        string // readings come on topic/<station>/reading
	file         string // the task file, with STATION for the station
}

var air = subject{"pm25-next-hour", "pm25", "air", airFile}

// pumps are those of the simulator.
var pumps = subject{"bearing-next-hour", "bearing", "plant", pumpFile}

const airFile = `# One station of the demonstration: PM2.5 one hour ahead.
task: pm25-next-hour
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/STATION/reading, path: $.pm25, unit: µg/m³, range: [0, 1500]}
  - {series: pm10, topic: air/STATION/reading, path: $.pm10, unit: µg/m³}
  - {series: so2, topic: air/STATION/reading, path: $.so2, unit: µg/m³}
  - {series: no2, topic: air/STATION/reading, path: $.no2, unit: µg/m³}
  - {series: co, topic: air/STATION/reading, path: $.co, unit: µg/m³}
  - {series: o3, topic: air/STATION/reading, path: $.o3, unit: µg/m³}
  - {series: temp, topic: air/STATION/reading, path: $.temp, unit: °C}
  - {series: pres, topic: air/STATION/reading, path: $.pres, unit: hPa}
  - {series: dewp, topic: air/STATION/reading, path: $.dewp, unit: °C}
  - {series: rain, topic: air/STATION/reading, path: $.rain, unit: mm}
  - {series: wd, topic: air/STATION/reading, path: $.wd, categories: [N, NNE, NE, ENE, E, ESE, SE, SSE, S, SSW, SW, WSW, W, WNW, NW, NNW]}
  - {series: wspm, topic: air/STATION/reading, path: $.wspm, unit: m/s}
time: {path: $.ts, format: rfc3339, max_future: 5m}
rows: {on: pm25, max_age: 3h, lateness: 0s}
publish: {topic: "skerry/{device}/{task}/prediction", retain: true}
interval: 0.9
sync: {readings: all, predictions: 10%}
budget: {latency: 1ms, size: 4MB}
`

const pumpFile = `# One station of the simulation: the temperature of a pump's bearing one hour ahead.
task: bearing-next-hour
kind: forecast
target: {series: bearing, horizon: 1h}
inputs:
  - {series: bearing, topic: plant/STATION/reading, path: $.bearing, unit: °C, range: [-40, 200]}
  - {series: load, topic: plant/STATION/reading, path: $.load, unit: kW}
  - {series: flow, topic: plant/STATION/reading, path: $.flow, unit: m³/h}
  - {series: vibration, topic: plant/STATION/reading, path: $.vibration, unit: mm/s}
  - {series: speed, topic: plant/STATION/reading, path: $.speed, unit: 1/min}
  - {series: pressure, topic: plant/STATION/reading, path: $.pressure, unit: bar}
  - {series: ambient, topic: plant/STATION/reading, path: $.ambient, unit: °C}
  - {series: barometer, topic: plant/STATION/reading, path: $.barometer, unit: hPa}
  - {series: intake, topic: plant/STATION/reading, path: $.intake, categories: [lake, river, well]}
time: {path: $.ts, format: rfc3339, max_future: 5m}
rows: {on: bearing, max_age: 3h, lateness: 0s}
publish: {topic: "skerry/{device}/{task}/prediction", retain: true}
interval: 0.9
sync: {readings: all, predictions: 10%}
budget: {latency: 1ms, size: 4MB}
`

// newAgent writes a station's files.
func newAgent(sub subject, bin, dir, device, broker, natsAddr, hubAddr string) (*rig.Agent, error) {
	return rig.NewAgent(rig.AgentOptions{
		Bin:    bin,
		Dir:    dir,
		Device: device,
		Broker: broker,
		NATS:   natsAddr,
		Hub:    hubAddr,
		Tasks:  map[string]string{sub.target + ".yaml": strings.ReplaceAll(sub.file, "STATION", device)},
		Config: "cache:\n  commit_records: 450\n  commit_acks: 32\n",
	})
}
