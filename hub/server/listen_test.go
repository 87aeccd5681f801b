package server

import "testing"

func TestReachesOthers(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:4222": false, "localhost:4222": false, "[::1]:4222": false, "127.0.0.2:1": false,
		"0.0.0.0:8000": true, ":8000": true, "[::]:8000": true, "192.0.2.7:8000": true, "hub.example:8000": true, "": false,
	} {
		if got := reachesOthers(address); got != want {
			t.Errorf("reachesOthers(%q) = %v, want %v", address, got, want)
		}
	}
}
