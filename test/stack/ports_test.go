package stack

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFreePortsAreDistinctAndOutOfTheKernelsRange(t *testing.T) {
	ports, err := freePorts(50)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port])
		seen[port] = true
		if floor := ephemeralFloor(); floor > lowestPort+1000 {
			require.Less(t, port, floor)
		}
		l, err := net.Listen("tcp4", loopback(port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

func TestAFirstStartMovesAwayFromATakenPortAndALaterOneStays(t *testing.T) {
	dir := t.TempDir()
	var tried []int
	clashes := 2
	start := func(ports map[string]int) error {
		tried = append(tried, ports["a"])
		if len(tried) <= clashes {
			return portClash{errors.New("taken")}
		}
		return nil
	}
	require.NoError(t, settle(dir, []string{"a"}, start))
	require.Len(t, tried, 3)
	saved, err := loadPorts(dir, "a")
	require.NoError(t, err)
	require.Equal(t, tried[2], saved["a"])

	tried = nil
	require.EqualError(t, settle(dir, []string{"a"}, start), "taken")
	require.Equal(t, []int{saved["a"]}, tried)

	tried, clashes = nil, 100
	require.EqualError(t, settle(t.TempDir(), []string{"a"}, start), "taken")
	require.Len(t, tried, 5)

	tried = nil
	broken := errors.New("broken configuration")
	err = settle(t.TempDir(), []string{"a"}, func(map[string]int) error { tried = append(tried, 1); return broken })
	require.ErrorIs(t, err, broken)
	require.Len(t, tried, 1)
}
