package message

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"Back-off restarting failed container main in pod web-6d4cf56db6-x7k2p_shop(6de3e614-a100-440e-9421-7a143ad647cc)": "Back-off restarting failed container main in pod web-#-#_shop(#)",
		"Successfully assigned shop/web-6d4cf56db6-bcdfg to node-2":                                                        "Successfully assigned shop/web-#-# to node-#",
		"Created pod: db-0":      "Created pod: db-#",
		"Created job tick-29384": "Created job tick-#",
		"Readiness probe failed: Get \"http://10.244.0.13:8080/healthz\": dial tcp 10.244.0.13:8080: connect: connection refused": "Readiness probe failed: Get \"http://#/healthz\": dial tcp #: connect: connection refused",
		"dial tcp [fd00:10:244::1d]:8080: i/o timeout":                                         "dial tcp [#]:#: i/o timeout",
		"Pulled image in 1.5s (1m30s including waiting). Size: 12345 bytes.":                   "Pulled image in # (# including waiting). Size: # bytes.",
		"Container image \"registry.example/web:1.0\" already present":                         "Container image \"registry.example/web:#\" already present",
		"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 not found":    "sha#:# not found",
		"0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint":         "#/# nodes are available: # Insufficient cpu, # node(s) had untolerated taint",
		"Memory limit 64Mi, request 250m, quota 0.5":                                           "Memory limit #, request #, quota #",
		"  spaces\tand\n lines  ":                                                              "spaces and lines",
		"at 10:06:36 and 2026-11-20T10:06:36Z":                                                 "at # and #-#-#:#Z",
		"error code 0x7f3a at e2e step k8s":                                                    "error code # at e#e step k#s",
		"Scaled up replica set web-578b4789ff from 0 to 3":                                     "Scaled up replica set web-# from # to #",
		"résumé ünïcode 5µs":                                                                   "résumé ünïcode #",
		"secret \"tls-https\" not found, config-map plain":                                     "secret \"tls-#\" not found, config-map plain",
		"MAC 0a:58:0a:f4:00:1d is used":                                                        "MAC # is used",
		"node-1.example.com":                                                                   "node-#.example.com",
		"token eyJhbGciOiJSUzI1NiIsImtpZCI6":                                                   "token #",
		"deleting pod for node scale down: cloud-provider-id aws:///eu-1a/i-0abc123def4567890": "deleting pod for node scale down: cloud-provider-id aws:///eu-#a/i-#",
	} {
		require.Equal(t, want, string(normalise(nil, in)), in)
	}
}

func TestHashIsStable(t *testing.T) {
	a := Hash("Back-off pulling image \"registry.example/web:1.0\" for web-6d4cf56db6-x7k2p after 10s")
	b := Hash("Back-off pulling image \"registry.example/web:1.1\" for web-578b4789ff-9zq4l after 2m40s")
	require.Equal(t, a, b)
	require.Equal(t, "e3b0c44298fc1c14", Hash(""), "hashes are stored for months: they must not change")
	require.Equal(t, Hash("Failed to pull"), Hash(" Failed  to pull\n"))
	require.NotEqual(t, a, Hash("Failed to pull"))
	require.Len(t, a, 16)
}

// Ten times the text may take ten times as long, not a hundred: the bound is loose enough for a busy machine.
func TestNormaliseIsLinear(t *testing.T) {
	for _, unit := range []string{"a", "1", "a:", "1:", "1.", "f", "-b", "0a:", "6de3e614-", " ", "\xff", "#"} {
		small, large := strings.Repeat(unit, 4<<10), strings.Repeat(unit, 256<<10)
		took := func(s string) time.Duration {
			best := time.Hour
			for range 5 {
				start := time.Now()
				normalise(nil, s)
				best = min(best, time.Since(start))
			}
			return max(best, time.Microsecond)
		}
		require.Less(t, took(large)/took(small), time.Duration(64*20), "%q", unit)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{
		"web-6d4cf56db6-x7k2p", "1.2.3.4:80", "fe80::1%eth0", "1m30s", "x-bcdfg1", "-bcdfg22222222", "1:2:3:4z", "#.#", "a#.#",
		"6de3e614-a100-440e-9421-7a143ad647cc", "0x1f", "1.5.", "ab:cd:ef:1z", "\xff1\xfe", "5µs", "# #", "-#bcd", "1b:cd:ef:", "0x#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := string(normalise(nil, s))
		if strings.ContainsAny(once, "0123456789") {
			t.Fatalf("%q: digits are left: %q", s, once)
		}
		if twice := string(normalise(nil, once)); twice != once {
			t.Fatalf("%q: not idempotent: %q, then %q", s, once, twice)
		}
		if len(once) > len(s) {
			t.Fatalf("%q grew to %q", s, once)
		}
	})
}
