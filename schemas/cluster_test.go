package schemas_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kubescribe/schemas"
)

func TestValidateClusterName(t *testing.T) {
	for _, ok := range []string{"a", "0", "shop", "shop-eu-1", strings.Repeat("x", 63)} {
		require.NoError(t, schemas.ValidateClusterName(ok), ok)
	}
	for name, want := range map[string]string{
		"Shop":                   "shop",
		"Shop EU":                "shop-eu",
		"arn:aws:eks/prod_1":     "arn-aws-eks-prod-1",
		"-shop-":                 "shop",
		"":                       "default",
		"...":                    "default",
		strings.Repeat("x", 64):  strings.Repeat("x", 63),
		strings.Repeat("y-", 40): strings.TrimSuffix(strings.Repeat("y-", 32), "-"),
	} {
		err := schemas.ValidateClusterName(name)
		require.Error(t, err, name)
		require.Equal(t, want, suggestion(t, err))
	}
}

func TestClusterValidateReportsAllProblems(t *testing.T) {
	err := schemas.Cluster{Name: "Shop", UID: "a/b"}.Validate()
	require.ErrorContains(t, err, "cluster name")
	require.ErrorContains(t, err, "cluster uid")
	require.NoError(t, schemas.Cluster{Name: "shop", UID: "u"}.Validate())
}

// suggestion is the last quoted string of the message.
func suggestion(t testing.TB, err error) string {
	t.Helper()
	i := strings.LastIndex(err.Error(), "for example ")
	require.Positive(t, i, err.Error())
	s, uerr := strconv.Unquote(err.Error()[i+len("for example "):])
	require.NoError(t, uerr)
	return s
}
