package producer

import (
	"fmt"
	"strconv"
)

// parseRV reads a resourceVersion as the number that it is wherever etcd, or what stands in for it, keeps the order. Numbers
// of different resources may not be compared.
func parseRV(s string) (uint64, error) {
	rv, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resourceVersion %q is not a number: this API server keeps no order that a producer could resume by", s)
	}
	return rv, nil
}

func formatRV(rv uint64) string { return strconv.FormatUint(rv, 10) }
