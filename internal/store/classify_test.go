package store

import (
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The answers are those of Elasticsearch 8.19, as seen or as its source has them.
func TestClassifyItem(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		reason string
		want   Verdict
	}{
		{201, "", "", Done},
		{200, "", "", Done},
		{409, "version_conflict_engine_exception", "[x]: version conflict, document already exists (current version [1])", Done},

		{429, "es_rejected_execution_exception", "rejected execution of coordinating operation", Retry},
		{429, "circuit_breaking_exception", "[parent] Data too large", Retry},
		{500, "exception", "", Retry},
		{503, "unavailable_shards_exception", "[x][0] primary shard is not active Timeout: [1m]", Retry},
		{503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master];", Retry},
		{503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];", Retry},
		{504, "", "", Retry},

		{400, "document_parsing_exception", "[1:2] failed to parse field [x] of type [long]", Poison},
		{400, "mapper_parsing_exception", "failed to parse", Poison},
		{400, "strict_dynamic_mapping_exception", "", Poison},
		{400, "illegal_argument_exception", "Document contains at least one immense term in field=\"x\"", Poison},
		{400, "illegal_argument_exception", "mapper [x] cannot be changed from type [long] to [keyword]", Poison},
		{400, "illegal_argument_exception", "Limit of total fields [500] has been exceeded", Poison},
		{400, "x_content_parse_exception", "", Poison},
		{400, "", "", Poison},
		{413, "", "", Poison},

		{401, "security_exception", "missing authentication credentials", Refused},
		{403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized", Refused},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", Refused},
		{429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark", Refused},
		{404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] is [false]", Refused},
		{400, "index_closed_exception", "closed", Refused},
		{400, "invalid_index_name_exception", "", Refused},
		{400, "validation_exception", "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;", Refused},
		{400, "illegal_argument_exception", "no write index is defined for alias [x]", Refused},
		{400, "illegal_argument_exception", "index name [x] does not match pattern '^.*-(\\d{4}.\\d{2}.\\d{2})(-[\\d]+)?$'", Refused},
		{400, "illegal_argument_exception", "pipeline with id [x] does not exist", Refused},
		{405, "", "", Refused},
		{302, "", "", Refused},
	} {
		assert.Equal(t, c.want, classifyItem(c.status, c.kind, c.reason), "%d %s %s", c.status, c.kind, c.reason)
	}
}

func TestClassifyRequest(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		want   requestClass
	}{
		{200, "", requestDone},
		{408, "", requestTransient},
		{429, "es_rejected_execution_exception", requestTransient},
		{500, "", requestTransient},
		{502, "", requestTransient},
		{503, "cluster_block_exception", requestTransient},
		{503, "master_not_discovered_exception", requestTransient},
		{504, "", requestTransient},
		{413, "", requestSplit},
		{400, "illegal_argument_exception", requestRejected},
		{400, "action_request_validation_exception", requestRefused},
		{400, "", requestRefused}, // not Elasticsearch's: a proxy, or HTTP spoken to an HTTPS port
		{401, "security_exception", requestRefused},
		{403, "security_exception", requestRefused},
		{403, "cluster_block_exception", requestRefused},
		{429, "cluster_block_exception", requestRefused},
		{404, "", requestRefused},
		{405, "", requestRefused},
		{301, "", requestRefused},
	} {
		assert.Equal(t, c.want, classifyRequest(c.status, c.kind), "%d %s", c.status, c.kind)
	}
}

func TestConnectionError(t *testing.T) {
	assert.False(t, IsRefused(connectionError(errors.New("connection reset by peer"))))
	assert.True(t, IsRefused(connectionError(fmt.Errorf("x: %w", x509.UnknownAuthorityError{}))))
	assert.True(t, IsRefused(connectionError(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"})))
}

func TestVerdictsHaveNames(t *testing.T) {
	assert.Equal(t, "done retry poison refused", fmt.Sprint(Done, Retry, Poison, Refused))
}
