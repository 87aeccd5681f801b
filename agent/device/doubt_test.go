package device

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

const roomFile = `
task: room
target: {series: temp, horizon: 1h}
inputs: [{series: temp, topic: "zz/{name}", path: $.y}]
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: temp}
`

// ingest sends a reading of an hour by HTTP, once the agent listens.
func ingest(t *testing.T, addr, topic string, hour int) {
	t.Helper()
	wait.For(t, "the reading is taken", func() bool {
		res, err := http.Post("http://"+addr+"/v1/ingest/"+topic, "", strings.NewReader(fmt.Sprintf(`{"ts":%d,"y":%d}`, hour*3600, 40+hour%5)))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= 300 {
			t.Fatalf("POST %s = %d %s, %v", topic, res.StatusCode, b, err)
		}
		return true
	})
}
